"""The conformance suites go red: each check with a plugin that it is there for."""

import itertools
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from numpy.typing import NDArray

from aprhub.api import (
    ENCODINGS,
    Adjustment,
    Codec,
    Encode,
    Family,
    Format,
    InputError,
    Layout,
    LayoutFile,
    Literal,
    Memory,
    ModelCheckError,
    Naming,
    Provenance,
    Rule,
    StoredModel,
    Tensor,
    Transform,
    UnrepresentableError,
    WeightSpec,
)
from aprhub.testing.codecs import CodecConformance, EncoderConformance
from aprhub.testing.families import FamilyConformance
from aprhub.testing.formats import FormatConformance
from aprhub.testing.namings import NamingConformance
from aprhub.testing.saving import Saver
from tests.unit import toys

APR = toys.INSTALLED.format("apr")
HF = toys.INSTALLED.naming("hf")
LLAMA = toys.INSTALLED.family("llama")
FORMATS, NAMINGS = FormatConformance(), NamingConformance()
FAMILIES, CODECS = FamilyConformance(), CodecConformance()
ENCODERS = EncoderConformance()

Open = Callable[[Path], StoredModel]
COUNTER = itertools.count()


def _reading(change: Callable[[Open, Path], StoredModel]) -> Format:
    """Return a format whose reader is another around its own."""
    real = APR.open
    assert real
    return evolve(APR, open=lambda path: change(real, path), runnable=lambda _: ())


def _writing(change: Callable[[StoredModel, Layout], Layout]) -> Format:
    """Return a format whose layout is changed after it is made."""
    real = APR.lay_out
    assert real
    return evolve(APR, lay_out=lambda s, p, o: change(s, real(s, p, o)))


def _eager(real: Open, path: Path) -> StoredModel:
    stored = real(path)
    whole = {
        name: evolve(each, source=Memory(np.frombuffer(each.tobytes(), np.uint8)))
        for name, each in stored.tensors.items()
    }
    return evolve(stored, tensors=whole)


def _forgetful(real: Open, path: Path) -> StoredModel:
    return evolve(real(path), provenance=Provenance())


def _without_strangers(real: Open, path: Path) -> StoredModel:
    stored = real(path)
    rest = {world: keys for world, keys in stored.carried.items() if world != "acme"}
    return evolve(stored, carried=rest)


def _crashing(real: Open, path: Path) -> StoredModel:
    try:
        return real(path)
    except InputError as error:
        raise struct.error("unpack requires a buffer") from error


class _Trusting:
    """Gives the last good model where the file is none."""

    def __init__(self) -> None:
        self.last: StoredModel | None = None

    def __call__(self, real: Open, path: Path) -> StoredModel:
        try:
            self.last = real(path)
        except InputError:
            if self.last is None:
                raise
        return self.last


def _with_last(layout: Layout, last: bytes) -> Layout:
    (file,) = layout.files
    return Layout((LayoutFile(file.name, (*file.segments, Literal(last))),))


def _numbered(_stored: StoredModel, layout: Layout) -> Layout:
    return _with_last(layout, bytes([next(COUNTER) % 256]))


def _growing(_stored: StoredModel, layout: Layout) -> Layout:
    return _with_last(layout, bytes(next(COUNTER) + 1))


def _wiping(stored: StoredModel, layout: Layout) -> Layout:
    for tensor in stored.tensors.values():
        if isinstance(tensor.source, Memory) and tensor.source.data.flags.writeable:
            tensor.source.data[:] = 0
    return layout


FAULTY_FORMATS: dict[str, tuple[Format, type[Exception]]] = {
    "test_its_name_is_one_word_in_lower_case": (
        evolve(APR, name="A-PR"),
        AssertionError,
    ),
    "test_its_extensions_are_in_lower_case_behind_a_dot": (
        evolve(APR, extensions=("APR",)),
        AssertionError,
    ),
    "test_its_own_file_is_recognised_under_any_name": (
        evolve(APR, magic=()),
        AssertionError,
    ),
    "test_it_shrugs_at_what_is_no_model": (
        evolve(APR, has_structure=lambda _: True),
        AssertionError,
    ),
    "test_it_refuses_to_open_what_is_no_model": (_reading(_crashing), struct.error),
    "test_what_is_written_reads_back_the_same": (
        _reading(_forgetful),
        AssertionError,
    ),
    "test_writing_leaves_the_model_unchanged": (_writing(_wiping), AssertionError),
    "test_writing_twice_gives_the_same_bytes": (_writing(_numbered), AssertionError),
    "test_a_dry_run_tells_the_exact_sizes": (_writing(_growing), AssertionError),
    "test_a_size_of_shards_is_honoured_or_refused": (APR, UnrepresentableError),
    "test_a_file_cut_anywhere_is_refused_with_a_typed_error": (
        _reading(_Trusting()),
        AssertionError,
    ),
    "test_a_damaged_file_raises_nothing_but_typed_errors": (
        _reading(_crashing),
        struct.error,
    ),
    "test_opening_reads_no_tensor": (_reading(_eager), AssertionError),
}


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    saver = Saver(APR, toys.INSTALLED)
    return saver.save(saver.pico("llama"), tmp_path / "sample")


@pytest.mark.parametrize("check", sorted(FAULTY_FORMATS))
def test_a_faulty_format_fails_its_check(
    check: str, sample: Path, tmp_path: Path
) -> None:
    fmt, error = FAULTY_FORMATS[check]
    saver = Saver(fmt, toys.registry(fmt))
    given = {
        "format": fmt,
        "sample": sample,
        "tmp_path": tmp_path / "work",
        "saver": saver,
        "both_ways": saver,
        "pico": "llama",
        "what": "noise",
    }
    (tmp_path / "work").mkdir()

    with pytest.raises(error):
        _call(FORMATS, check, given)


def test_a_reader_that_loses_carried_keys_is_noticed(tmp_path: Path) -> None:
    fmt = _reading(_without_strangers)
    saver = Saver(fmt, toys.registry(fmt))

    with pytest.raises(AssertionError, match="carried acme"):
        FORMATS.test_what_is_written_reads_back_the_same(saver, tmp_path, "llama")


def _call(suite: object, check: str, given: dict[str, Any]) -> None:
    method = getattr(suite, check)
    names = method.__func__.__code__.co_varnames[
        1 : method.__func__.__code__.co_argcount
    ]
    method(**{name: given[name] for name in names})


def _turned(tensor: Tensor, _config: object) -> Tensor:
    order = np.roll(np.arange(tensor.shape[0]), 1)
    return tensor.taken(order)


def _same(tensor: Tensor, _config: object) -> Tensor:
    return tensor


def _decoding(tensor: Tensor, _config: object) -> Tensor:
    return (
        Tensor.of(np.zeros(tensor.shape, np.float32))
        if (tensor.encoding.is_quantized)
        else tensor
    )


def _reading_early(tensor: Tensor, _config: object) -> Tensor:
    return Tensor.of(tensor.numpy())


def _writing_in_place(tensor: Tensor, _config: object) -> Tensor:
    if isinstance(tensor.source, Memory) and tensor.source.data.flags.writeable:
        tensor.source.data[:] = 0
    return tensor


def _with(transform: Transform) -> Naming:
    return evolve(HF, adjustments=(Adjustment(r".*q\.weight", transform),))


SHARED = Rule("model.norm.weight", "embed.weight")
TWICE = Rule("model.layers.{i}.mlp.gate_proj.weight", "layers.{i}.ffn.up.weight")

FAULTY_NAMINGS = {
    "test_its_name_is_one_word_in_lower_case": evolve(HF, name="hugging face"),
    "test_it_covers_a_family": evolve(HF, rules=HF.rules[:3]),
    "test_every_name_leads_there_and_back": evolve(HF, rules=(SHARED, *HF.rules[1:])),
    "test_no_two_names_are_spelt_alike": evolve(HF, rules=(SHARED, *HF.rules[1:])),
    "test_no_two_rules_match_one_name": evolve(HF, rules=(*HF.rules, TWICE)),
    "test_every_transform_undoes_itself": _with(Transform("t", _turned, _turned)),
    "test_every_packed_transform_undoes_itself_on_packed_bytes": _with(
        Transform("t", _turned, _turned)
    ),
    "test_packed_transforms_keep_the_encoding": _with(Transform("t", _same, _decoding)),
    "test_no_transform_reads_before_it_is_asked": _with(
        Transform("t", _same, _reading_early)
    ),
    "test_no_transform_changes_what_it_is_given": _with(
        Transform("t", _same, _writing_in_place)
    ),
}


@pytest.mark.parametrize("check", sorted(FAULTY_NAMINGS))
def test_a_faulty_naming_fails_its_check(check: str) -> None:
    naming = FAULTY_NAMINGS[check]
    families = [LLAMA] if check != "test_it_covers_a_family" else []

    with pytest.raises((AssertionError, KeyboardInterrupt)):
        _call(NAMINGS, check, {"naming": naming, "families": families})


def _family(*weights: WeightSpec, **changes: Any) -> Family:
    return evolve(LLAMA, weights=(*LLAMA.weights, *weights), **changes)


FAULTY_FAMILIES = {
    "test_its_name_is_one_word_in_lower_case": evolve(LLAMA, name="Llama"),
    "test_every_role_is_there_once_and_spelt_like_one": _family(
        WeightSpec("layers.0.attn.q", ("hidden_size",))
    ),
    "test_its_tables_name_fields_of_the_configuration": _family(
        defaults={"rope_base": 1e4}
    ),
    "test_every_weight_has_a_shape_that_the_configuration_determines": _family(
        WeightSpec("layers.{i}.attn.window.weight", ("sliding_window",))
    ),
    "test_a_head_may_be_missing_only_where_it_is_tied": evolve(
        LLAMA, weights=(*LLAMA.weights[:-1], evolve(LLAMA.weights[-1], optional=False))
    ),
}


@pytest.mark.parametrize("check", sorted(FAULTY_FAMILIES))
def test_a_faulty_family_fails_its_check(check: str) -> None:
    with pytest.raises((AssertionError, ModelCheckError)):
        _call(FAMILIES, check, {"family": FAULTY_FAMILIES[check]})


Blocks = NDArray[np.uint8]


def _values(blocks: Blocks) -> NDArray[np.float32]:
    return blocks[:, 2:].astype(np.float32)


def _scaled_by_all(blocks: Blocks, _header: Blocks) -> NDArray[np.float32]:
    values: NDArray[np.float32] = _values(blocks) * np.float32(blocks.sum())
    return values


def _sorted_in_place(blocks: Blocks, _header: Blocks) -> NDArray[np.float32]:
    blocks.sort(axis=1)
    return _values(blocks)


def _flattened(blocks: Blocks, _header: Blocks) -> NDArray[np.float32]:
    return _values(blocks).reshape(-1)


def _divided(blocks: Blocks, _header: Blocks) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        values: NDArray[np.float32] = _values(blocks) / np.float32(blocks[0, 0])
        return values


class _Kept:
    """Gives the array that it gave before."""

    def __init__(self) -> None:
        self.array: NDArray[np.float32] | None = None

    def __call__(self, blocks: Blocks, _header: Blocks) -> NDArray[np.float32]:
        if self.array is None:
            self.array = _values(blocks)
        return self.array


FAULTY_CODECS: dict[str, Callable[[Blocks, Blocks], NDArray[np.float32]]] = {
    "test_every_block_becomes_its_elements": _flattened,
    "test_no_blocks_become_no_elements": _flattened,
    "test_blocks_of_zero_bytes_decode_to_one_finite_value": _divided,
    "test_blocks_do_not_depend_on_their_neighbours": _scaled_by_all,
    "test_decoding_twice_gives_the_same_values": _Kept(),
    "test_decoding_leaves_its_input_unchanged": _sorted_in_place,
}


@pytest.mark.parametrize("check", sorted(FAULTY_CODECS))
def test_a_faulty_codec_fails_its_check(check: str) -> None:
    encoding = ENCODINGS["q8_0"]
    blocks = np.random.default_rng(1).integers(1, 200, (5, 34), np.uint8)
    given = {
        "codec": Codec("q8_0", FAULTY_CODECS[check]),
        "encoding": encoding,
        "header": np.empty(0, np.uint8),
        "blocks": blocks,
    }

    with pytest.raises(AssertionError):
        _call(CODECS, check, given)


def test_a_codec_for_an_encoding_that_nobody_knows_fails_its_check() -> None:
    with pytest.raises(AssertionError):
        CODECS.test_it_decodes_a_block_type_that_the_hub_knows(Codec("q9", _divided))


Rows = NDArray[np.float32]


def _packed(values: Rows) -> Blocks:
    """Return an honest block for each row: an f16 scale and 32 signed bytes."""
    scales = (np.abs(values).max(axis=1, keepdims=True) / 127).astype("<f2")
    quants = np.rint(values / np.where(scales == 0, 1, scales)).astype(np.int8)
    return np.concatenate((scales.view(np.uint8), quants.view(np.uint8)), axis=1)


def _unpacked(blocks: Blocks, _header: Blocks) -> Rows:
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    return scales * np.ascontiguousarray(blocks[:, 2:]).view(np.int8)


def _packed_by_all(values: Rows) -> Blocks:
    return _packed(np.clip(values, -values[0].max(), values[0].max()))


def _packed_in_place(values: Rows) -> Blocks:
    blocks = _packed(values)
    values[:] = 0
    return blocks


def _packed_upwards(values: Rows) -> Blocks:
    return _packed(values + np.float32(1))


def _packed_by_halves(values: Rows) -> Blocks:
    return _packed(values * np.float32(0.5))


class _KeptBlocks:
    """Gives the array that it gave before."""

    def __init__(self) -> None:
        self.array: Blocks | None = None

    def __call__(self, values: Rows) -> Blocks:
        if self.array is None:
            self.array = _packed(values)
        return self.array


FAULTY_ENCODERS: dict[str, Callable[[Rows], Blocks] | None] = {
    "test_it_says_who_encodes": None,
    "test_every_row_of_values_becomes_a_block": lambda rows: _packed(rows).ravel(),
    "test_no_values_become_no_blocks": lambda rows: np.empty((1, 34), np.uint8),
    "test_zeros_stay_zeros": _packed_upwards,
    "test_values_come_back_roughly": lambda rows: _packed(np.zeros_like(rows)),
    "test_decoded_values_are_encoded_closely": _packed_by_halves,
    "test_encoded_blocks_do_not_depend_on_their_neighbours": _packed_by_all,
    "test_encoding_twice_gives_the_same_blocks": _KeptBlocks(),
    "test_encoding_leaves_its_input_unchanged": _packed_in_place,
    "test_importance_is_taken_row_by_row_or_refused": _packed_by_all,
}


def _encoding_check(check: str, encode: Callable[[Rows], Blocks] | None) -> None:
    def encoded(values: Rows, _importance: Rows | None) -> Blocks:
        assert encode
        return encode(values)

    encoder = encoded if encode else None
    given = {
        "codec": Codec("q8_0", _unpacked, encode=encoder, encoder="a test"),
        "encoding": ENCODINGS["q8_0"],
        "importance": np.ones(32, np.float32),
        "values": np.random.default_rng(1).standard_normal((5, 32), np.float32),
    }
    _call(ENCODERS, check, given)


@pytest.mark.parametrize("check", sorted(FAULTY_ENCODERS))
def test_a_faulty_encoder_fails_its_check(check: str) -> None:
    _encoding_check(check, _packed)

    with pytest.raises(AssertionError):
        _encoding_check(check, FAULTY_ENCODERS[check])


FITTED = "test_a_header_is_for_all_values_however_they_are_cut"


def test_there_is_a_faulty_encoder_for_every_check() -> None:
    checks = {name for name in vars(EncoderConformance) if name.startswith("test_")}

    assert checks == {*FAULTY_ENCODERS, FITTED}


def test_a_header_of_the_first_piece_alone_fails_its_check() -> None:
    def fit(pieces: Iterable[Rows]) -> tuple[Blocks, Encode]:
        rows = sum(len(each) for each in itertools.islice(pieces, 1))
        return np.array([rows], np.uint8), lambda values, _importance: _packed(values)

    def fit_largest(pieces: Iterable[Rows]) -> tuple[Blocks, Encode]:
        largest = np.float32(max(np.abs(each).max() for each in pieces))
        return largest.reshape(1).view(np.uint8), lambda values, _: _packed(values)

    values = np.random.default_rng(1).standard_normal((5, 32), np.float32)

    def check(fit: Callable[[Iterable[Rows]], tuple[Blocks, Encode]]) -> None:
        codec = Codec("q8_0", _unpacked, encoder="a test", fit=fit)
        _call(ENCODERS, FITTED, {"codec": codec, "values": values})

    check(fit_largest)
    with pytest.raises(AssertionError):
        check(fit)
