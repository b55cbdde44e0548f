import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aprhub.api import (
    ENCODINGS,
    AprhubError,
    CorruptFileError,
    EnvironmentFailureError,
    MissingFileError,
    StoredModel,
    UnsupportedFileError,
)
from aprhub_apr import APR
from tests.hostile import apr_file
from tests.hostile.apr_file import HEADER_FIELDS, AprFile, Entry
from tests.plugins.apr import disk

SMALL = AprFile(
    json.dumps({"model_type": "x", "num_layers": 1}).encode(),
    (
        Entry(b"a", 0, (2,), 0, 8),
        Entry(b"b", 129, (5,), 64, 9),
        Entry(b"c", 1, (0, 3), 128, 0),
    ),
    bytes(128),
)


def _open(file: AprFile, folder: Path) -> StoredModel:
    return disk.opened(file.write(folder))


def _read_all(stored: StoredModel) -> None:
    sizes = [len(each.tobytes()) for each in stored.tensors.values()]
    assert sizes == [each.nbytes for each in stored.tensors.values()]


def _metadata(text: str | bytes) -> AprFile:
    data = text.encode() if isinstance(text, str) else text
    return AprFile(data, (), b"")


def test_a_file_of_another_writer_is_opened(tmp_path: Path) -> None:
    stored = _open(apr_file.valid(), tmp_path)

    assert stored.config.hidden_size == 32
    assert stored.notes == ()
    assert stored.naming is None
    assert all(each.encoding.name == "f32" for each in stored.tensors.values())


def test_no_tensor_is_read_on_open(tmp_path: Path) -> None:
    whole = SMALL.tobytes()
    path = tmp_path / "model.apr"
    path.write_bytes(whole[:-132])
    with path.open("r+b") as file:
        file.truncate(len(whole))

    stored = disk.opened(path)

    assert stored.tensors["a"].segments() is not None


@pytest.mark.parametrize("size", range(len(SMALL.tobytes()) - 4))
def test_a_file_cut_anywhere_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "model.apr"
    path.write_bytes(SMALL.tobytes()[:size])

    with pytest.raises(CorruptFileError):
        disk.opened(path)


@pytest.mark.parametrize("missing", range(1, 5))
def test_a_file_without_a_whole_footer_is_noted(missing: int, tmp_path: Path) -> None:
    stored = _open(evolve(SMALL, cut=missing), tmp_path)

    assert any("no footer" in note for note in stored.notes)


BITS = {"B": 8, "H": 16, "I": 32, "Q": 64}
NUMBERS = {name: BITS[code] for name, code in HEADER_FIELDS.items() if code in BITS}


@pytest.mark.parametrize("field", sorted(NUMBERS.keys() - {"checksum"}))
def test_no_header_with_a_right_checksum_is_trusted(field: str, tmp_path: Path) -> None:
    """Whatever stands in a field: a model whose tensors are there, or a typed error."""
    bits = NUMBERS[field]
    size = len(SMALL.tobytes())
    near = {0, 1, 40, 63, 64, 65, 128, 129, 192, size - 1, size, size + 1}
    large = {(1 << bits) - 1, 1 << (bits - 1), (1 << bits) - 64}
    for value in sorted(each for each in near | large if each < 1 << bits):
        path = SMALL.with_lies(**{field: value}).write(tmp_path)
        with suppress(AprhubError):
            _read_all(disk.opened(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(128, 255), value=st.integers(0, 255))
def test_no_index_is_trusted(tmp_path: Path, place: int, value: int) -> None:
    data = bytearray(SMALL.tobytes())
    data[place] = value
    path = tmp_path / "model.apr"
    path.write_bytes(data)

    with suppress(AprhubError):
        _read_all(disk.opened(path))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("metadata_offset", 40, "lies in the header"),
        ("metadata_offset", 2**64 - 1, "but the file ends at"),
        ("metadata_size", 2**32 - 1, "but the file ends at"),
        ("tensor_index_offset", 64, "between the metadata's end"),
        ("tensor_index_offset", 2**63, "between the metadata's end"),
        ("data_offset", 2**64 - 1, "truncated"),
        ("data_offset", 64, "tensor_index_offset"),
        ("tensor_count", 2**32 - 1, "room for 6 at most"),
    ],
)
def test_a_hostile_field_is_named(
    field: str, value: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(CorruptFileError, match="header field") as refusal:
        _open(SMALL.with_lies(**{field: value}), tmp_path)

    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ndim": 9}, "9 dimensions"),
        ({"dtype": 31}, "unknown type"),
        ({"size": 65}, "65 bytes, though"),
        ({"offset": 2**64 - 4}, "but the file ends at"),
        ({"name_length": 65535}, "into the tensor data"),
    ],
)
def test_a_hostile_entry_is_named(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CorruptFileError, match="tensor") as refusal:
        _open(SMALL.with_entry("a", **change), tmp_path)

    assert message in str(refusal.value)


def test_the_padding_of_the_last_tensor_belongs_to_the_file(tmp_path: Path) -> None:
    file = evolve(SMALL, entries=SMALL.entries[:2], footer=b"")

    assert list(_open(file, tmp_path).tensors) == ["a", "b"]
    with pytest.raises(CorruptFileError, match="padding"):
        _open(evolve(file, cut=1), tmp_path)


@pytest.mark.parametrize("field", ["data_offset", "metadata_size"])
def test_no_more_than_a_bounded_head_is_read(field: str, tmp_path: Path) -> None:
    limit = 256 << 20
    path = SMALL.with_lies(**{field: limit + 64}).write(tmp_path)
    with path.open("r+b") as file:
        file.truncate(limit + 4096)

    with pytest.raises(CorruptFileError, match="are read"):
        disk.opened(path)


def test_a_forged_count_allocates_nothing(tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match="tensor_count") as refusal:
        _open(SMALL.with_lies(tensor_count=2**32 - 1), tmp_path)

    assert refusal.value.offset == 8


def test_a_truncated_file_is_told_both_sizes(tmp_path: Path) -> None:
    file = evolve(SMALL, footer=b"", cut=1)

    with pytest.raises(CorruptFileError, match="truncated") as refusal:
        _open(file, tmp_path)

    size = len(file.tobytes())
    assert str(size) in str(refusal.value)
    assert str(size + 1) in str(refusal.value)


@pytest.mark.parametrize("magic", [b"APRN", b"APR1", b"APR2"])
def test_a_look_alike_is_recognised_and_named(magic: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.apr"
    path.write_bytes(magic + bytes(60))

    assert any(each.matches(path.read_bytes()) for each in APR.magic)
    with pytest.raises(UnsupportedFileError, match=magic.decode()):
        disk.opened(path)


def test_another_files_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.apr"
    path.write_bytes(b"GGUF" + bytes(60))

    with pytest.raises(CorruptFileError, match="GGUF"):
        disk.opened(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        disk.opened(tmp_path)
    with pytest.raises(MissingFileError):
        disk.opened(tmp_path / "absent.apr")


def test_a_file_that_cannot_be_read_is_a_failure_of_the_machine() -> None:
    with pytest.raises(EnvironmentFailureError):
        disk.opened(Path("/proc/self/mem"))


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        (0x0800, "LAYOUT_COLUMN_MAJOR"),
        (0x0C00, "LAYOUT_COLUMN_MAJOR"),
        (4, "ENCRYPTED"),
    ],
)
def test_a_flag_that_changes_the_bytes_is_refused(
    flag: int, name: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedFileError, match=name):
        _open(SMALL.with_lies(flags=flag), tmp_path)


@pytest.mark.parametrize(("flag", "name"), [(1, "LZ4"), (2, "ZSTD")])
def test_a_compressed_file_is_refused(flag: int, name: str, tmp_path: Path) -> None:
    file = evolve(SMALL, metadata=b"\x04\x22" + bytes(62)).with_lies(flags=flag)

    with pytest.raises(UnsupportedFileError, match=f"{name}_COMPRESSED"):
        _open(file, tmp_path)


def test_another_minor_version_is_noted(tmp_path: Path) -> None:
    stored = _open(SMALL.with_lies(version_minor=7), tmp_path)

    assert stored.notes == ("version 2.7, read as 2.0",)


def test_overlapping_tensors_are_noted(tmp_path: Path) -> None:
    stored = _open(SMALL.with_entry("b", offset=0), tmp_path)

    assert any("overlap" in note for note in stored.notes)


def _ggml(type_id: int, shape: tuple[int, ...], size: int) -> AprFile:
    data = bytes(-(-size // 64) * 64)
    return AprFile(b'{"model_type":"x"}', (Entry(b"a", type_id, shape, 0, size),), data)


@pytest.mark.parametrize(
    ("type_id", "shape", "size", "encoding"),
    [
        (2, (2, 32), 36, "q4_0"),
        (3, (2, 32), 512, "f64"),
        (3, (2, 32), 40, "q4_1"),
        (6, (2, 32), 64, "i8"),
        (6, (2, 32), 44, "q5_0"),
        (7, (2, 32), 64, "u8"),
        (7, (2, 32), 48, "q5_1"),
        (8, (2, 32), 36, "apr_q4"),
        (8, (2, 32), 68, "q8_0"),
        (9, (2, 32), 68, "apr_q8"),
        (9, (2, 32), 72, "q8_1"),
        (9, (32,), 36, "apr_q8"),
        (13, (2, 256), 352, "q5_k"),
        (12, (2, 300), 576, "q4_k"),
    ],
)
def test_an_id_with_two_meanings_is_settled_by_the_size(
    type_id: int, shape: tuple[int, ...], size: int, encoding: str, tmp_path: Path
) -> None:
    stored = _open(_ggml(type_id, shape, size), tmp_path)

    assert stored.tensors["a"].encoding == ENCODINGS[encoding]
    own = encoding in {"f64", "i8", "u8", "apr_q4", "apr_q8", "q4_k"}
    assert bool(stored.notes) is not own


@pytest.mark.parametrize(("type_id", "size"), [(3, 41), (0, 255), (31, 64), (255, 0)])
def test_a_size_that_fits_no_meaning_is_refused(
    type_id: int, size: int, tmp_path: Path
) -> None:
    with pytest.raises(CorruptFileError, match="tensor 'a'"):
        _open(_ggml(type_id, (2, 32), size), tmp_path)


@pytest.mark.parametrize("shape", [(1 << 60, 0), (1 << 25, 1 << 24)])
def test_a_shape_beyond_reason_is_refused(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    with pytest.raises(CorruptFileError, match="elements"):
        _open(_ggml(0, shape, 0), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[]", "expected a JSON object"),
        (b'{"model_type":"\xff"}', "not UTF-8"),
        ("\ufeff{}", "not JSON"),
        ('{"a":NaN}', "NaN"),
        ('{"a":-Infinity}', "Infinity"),
        ('{"a":1e999}', "infinite"),
        ('{"a":"\\ud800"}', "half of a character"),
        ('{"a":' + "[" * 100_000, "deeply"),
        ('{"a":1' + "0" * 5000 + "}", "not JSON"),
        ('{"a":{"b":1,"b":2}}', "two values, 1 and 2"),
        ('{"a":1,"a":true}', "two values, 1 and true"),
        ('{"model_type":7}', "expected a string"),
        ('{"total_size":null}', "expected an integer"),
        ('{"param_count":-1}', "expected an integer"),
        ('{"hidden_size":true}', "expected an integer"),
        ('{"hidden_size":18446744073709551616}', "expected an integer"),
        ('{"rope_theta":"1e4"}', "expected a number"),
        ('{"rope_theta":1e39}', "expected a number"),
        ('{"rms_norm_eps":-1e-6}', "expected a number"),
        ('{"rope_type":1}', "expected 0 or 2"),
        ('{"quantization":{"bits":4}}', "quant_type"),
        ('{"sharding":{"shard_count":2}}', "shard_index"),
        ('{"special_tokens":["<s>"]}', "expected an object"),
        ('{"tensor_shapes":[]}', "expected an object"),
        ('{"aprhub.naming":7}', "expected a string"),
        ('{"aprhub.native":{"a":1}}', "expected an object"),
        ('{"aprhub.sampling":{"top_k":-1}}', "expected an object of numbers"),
        ('{"aprhub.sampling":{"top_z":1}}', "expected an object of numbers"),
        ('{"aprhub.carried":{"hf":1}}', "expected an object"),
        ('{"aprhub.lineage":[{"operation":"x"}]}', "expected a list of steps"),
        ('{"aprhub.config.rope_scaling":{"factor":2}}', "expected an object"),
        ('{"aprhub.config.rope_scaling":{"kind":"x","other":2}}', "an object"),
        ('{"aprhub.config.layer_kinds":[1]}', "expected a list of strings"),
    ],
)
def test_metadata_that_are_not_strict_are_refused(
    text: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(CorruptFileError, match="metadata") as refusal:
        _open(_metadata(text), tmp_path)

    assert message in str(refusal.value)
    assert refusal.value.offset == 64


@pytest.mark.parametrize(
    ("keys", "layers"),
    [
        ('"num_layers":2', 2),
        ('"num_hidden_layers":2', 2),
        ('"n_layer":2,"num_layers":null', 2),
        ('"num_layers":2,"n_layers":2', 2),
        ('"num_layers":null,"num_layers":2', 2),
        ('"num_layers":2,"num_layers":2', 2),
        ('"num_layers":null', None),
    ],
)
def test_spellings_that_agree_are_one_value(
    keys: str, layers: int | None, tmp_path: Path
) -> None:
    stored = _open(_metadata(f'{{"model_type":"x",{keys}}}'), tmp_path)

    assert stored.config.num_layers == layers
    assert bool(stored.notes) is ("," in keys)


@pytest.mark.parametrize(
    ("keys", "theta", "taken"),
    [
        ('"architecture":"qwen2","num_heads":2', 1e6, "1000000 is taken"),
        ('"architecture":"qwen3_moe","n_heads":2,"rope_theta":null', 1e6, "1000000"),
        ('"architecture":"llama","num_heads":2', 1e4, " 10000 is taken"),
        ('"architecture":"gemma3","num_heads":2', 1e6, " 1000000 is taken"),
        ('"architecture":"qwen2","num_heads":2,"rope_theta":5e5', 5e5, ""),
        ('"architecture":"qwen2","lora_rank":2', None, ""),
    ],
)
def test_a_base_of_frequencies_is_what_runners_take_and_that_is_said(
    keys: str, theta: float | None, taken: str, tmp_path: Path
) -> None:
    stored = _open(_metadata(f'{{"model_type":"x",{keys}}}'), tmp_path)

    assert stored.config.rope_theta == theta
    said = [each for each in stored.notes if "'rope_theta' is missing" in each]
    assert [taken in each for each in said] == ([True] if taken else [])


@pytest.mark.parametrize(
    "keys",
    ['"num_layers":2,"n_layer":3', '"num_layers":2,"num_layers":3', '"a":[1],"a":[2]'],
)
def test_spellings_that_disagree_are_refused_with_both_values(
    keys: str, tmp_path: Path
) -> None:
    values = [part.split(":")[1] for part in keys.split(",")]

    with pytest.raises(CorruptFileError) as refusal:
        _open(_metadata(f'{{"model_type":"x",{keys}}}'), tmp_path)

    assert all(value in str(refusal.value) for value in values)


def _checkpoint(**changes: Any) -> AprFile:
    config = {"num_hidden_layers": 2, "head_dim_override": 8, "rms_norm_eps": 1e-6}
    keys = {
        "model_type": "x",
        "num_layers": None,
        "format": "entrenar-checkpoint",
        "model_config": json.dumps({**config, "hf_architecture": "Qwen2ForCausalLM"}),
    }
    return _metadata(json.dumps({**keys, **changes}))


def test_a_training_checkpoint_has_its_configuration_in_a_string(
    tmp_path: Path,
) -> None:
    config = _open(_checkpoint(), tmp_path).config

    assert (config.num_layers, config.head_dim, config.norm_eps) == (2, 8, 1e-6)
    assert config.identity.hf_class == "Qwen2ForCausalLM"


def test_a_training_checkpoint_that_contradicts_itself_is_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(CorruptFileError, match=r"model_config\.num_hidden_layers"):
        _open(_checkpoint(num_layers=3), tmp_path)


def test_a_converted_checkpoint_is_no_checkpoint_any_more(tmp_path: Path) -> None:
    stored = _open(_checkpoint(), tmp_path)

    keys = disk.described(disk.laid_out(stored))

    assert {"format", "model_config"}.isdisjoint(keys)
    assert keys["entrenar.format"] == "entrenar-checkpoint"


def test_a_note_is_one_line_for_many_tensors(tmp_path: Path) -> None:
    entries = tuple(
        Entry(b"%04d" % number, 0, (1,), 4 * number, 4) for number in range(1000)
    )
    data = np.zeros(1015, "<f4").tobytes()

    stored = _open(AprFile(b'{"model_type":"x"}', entries, data), tmp_path)

    assert len(stored.notes) == 1
    assert "937 tensors not aligned" in stored.notes[0]
