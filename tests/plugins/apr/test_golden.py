"""Every golden file gives what the reference implementation says, or is refused."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import gguf
import pytest
from attrs import evolve

from aprhub.api import (
    AprhubError,
    Bytes,
    CorruptFileError,
    Tensor,
    UnsupportedFileError,
)
from aprhub.export.witness import checksum_faults
from aprhub_apr import APR, provide_codecs
from aprhub_apr.tables import ALIASES
from tests.plugins.apr import disk, golden

Refusal = tuple[type[AprhubError], str]

REFUSED: Mapping[str, Refusal] = {
    "InvalidMagic": (UnsupportedFileError, "APR"),
    "ChecksumMismatch": (CorruptFileError, "checksum"),
    "MetadataError": (CorruptFileError, "metadata"),
    "InvalidTensorIndex": (CorruptFileError, ""),
    "InvalidHeader": (CorruptFileError, ""),
}
"""By the kind of the reference reader's error."""

STRICTER: Mapping[str, Refusal] = {
    "err_column_major.apr": (UnsupportedFileError, "LAYOUT_COLUMN_MAJOR"),
    "encrypted_flag.apr": (UnsupportedFileError, "ENCRYPTED"),
    "version_9_9_reserved_nonzero.apr": (UnsupportedFileError, "version 9.9"),
    "dup_exact_key.apr": (CorruptFileError, "1e-06 and 1e-05"),
    "duplicate_names.apr": (CorruptFileError, "two tensors are called 'bias'"),
    "shape_size_mismatch.apr": (CorruptFileError, "'weights'"),
    "shape_product_overflow.apr": (CorruptFileError, "'weights'"),
    "offset_overflow_u64.apr": (CorruptFileError, "truncated"),
    "tensor_data_past_eof.apr": (CorruptFileError, "4608"),
    "truncated_in_data.apr": (CorruptFileError, "454"),
    "writer_quirks.apr": (CorruptFileError, "not UTF-8"),
}
"""Files that the reference reader opens and should not: they have no one meaning, or
name bytes that are not there."""

NOTED = {
    "no_footer.apr": "no footer",
    "trailing_garbage.apr": "24 bytes come after",
    "unaligned_offset.apr": "not aligned",
    "lz4_flag_uncompressed.apr": "LZ4_COMPRESSED",
    "signed_flag.apr": "SIGNED",
    "sharded_0_of_2.apr": "SHARDED",
    "sharded_1_of_2.apr": "SHARDED",
    "poison_null_and_alias.apr": "num_layers and num_hidden_layers",
    "poison_two_values.apr": "hidden_size and d_model",
}


def _is_read(verdict: golden.Verdict) -> bool:
    return verdict["reader"]["ok"] and verdict["file"] not in STRICTER


def _ggml(kind: gguf.GGMLQuantizationType) -> Callable[[Bytes, Bytes], Any]:
    return lambda blocks, _header: gguf.quants.dequantize(blocks, kind)


DECODERS = {
    **{codec.name: codec.decode for codec in provide_codecs()},
    "q4_k": _ggml(gguf.GGMLQuantizationType.Q4_K),
    "q6_k": _ggml(gguf.GGMLQuantizationType.Q6_K),
}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _values(tensor: Tensor) -> bytes:
    decoder = DECODERS.get(tensor.encoding.name)
    return evolve(tensor, decoder=decoder).numpy().astype("<f4").tobytes()


@pytest.mark.parametrize("verdict", golden.cases(_is_read))
def test_tensors_are_those_of_the_reference(verdict: golden.Verdict) -> None:
    stored = disk.opened(golden.path(verdict["file"]))

    found = [
        (name, [*tensor.shape], _digest(tensor.tobytes()))
        for name, tensor in stored.tensors.items()
    ]
    assert found == [
        (each["name"], each["shape"], each["raw_sha256"]) for each in verdict["tensors"]
    ]


@pytest.mark.parametrize("verdict", golden.cases(_is_read))
def test_values_are_those_of_the_reference(verdict: golden.Verdict) -> None:
    stored = disk.opened(golden.path(verdict["file"]))

    expected = {
        each["name"]: each["f32_sha256"]
        for each in verdict["tensors"]
        if each.get("f32_sha256")
    }
    found = {name: _digest(_values(stored.tensors[name])) for name in expected}
    assert found == expected


@pytest.mark.parametrize("verdict", golden.cases(_is_read))
def test_metadata_are_written_back(verdict: golden.Verdict) -> None:
    """Every key comes back, under its typed spelling, unless it is recomputed."""
    stored = disk.opened(golden.path(verdict["file"]))
    tensors = {
        name: tensor
        for name, tensor in stored.tensors.items()
        if APR.encoding_for(name, tensor) == tensor.encoding
    }

    written = disk.described(disk.laid_out(evolve(stored, tensors=tensors)))

    typed = {alias: key for key, aliases in ALIASES.items() for alias in aliases}
    expected = {
        typed.get(key, key): value
        for key, value in verdict["metadata"].items()
        if value is not None and key not in {"param_count", "total_size", "sharding"}
    }
    if not any(each.encoding.is_quantized for each in tensors.values()):
        expected.pop("quantization", None)
    assert {key: written.get(key) for key in expected} == expected


@pytest.mark.parametrize("verdict", golden.cases(_is_read))
def test_every_key_has_a_fate(verdict: golden.Verdict) -> None:
    path = golden.path(verdict["file"])

    fates = [fate.key for fate in disk.opened(path).fates]

    assert sorted(fates) == sorted(disk.described(path.read_bytes()))


@pytest.mark.parametrize(
    "verdict",
    golden.cases(lambda each: not each["reader"]["ok"] or each["file"] in STRICTER),
)
def test_a_file_without_one_meaning_is_refused(verdict: golden.Verdict) -> None:
    path = golden.path(verdict["file"])
    variant = verdict["reader"].get("variant", "")
    error, text = STRICTER.get(verdict["file"]) or REFUSED[variant]

    with pytest.raises(error) as refusal:
        disk.opened(path)

    assert str(refusal.value).startswith(str(path))
    assert text in str(refusal.value)


@pytest.mark.parametrize(("name", "note"), NOTED.items())
def test_an_oddity_is_noted(name: str, note: str) -> None:
    stored = disk.opened(golden.path(name))

    assert any(note in each for each in stored.notes)


@pytest.mark.parametrize(
    "verdict", golden.cases(lambda each: _is_read(each) and each["file"] not in NOTED)
)
def test_a_sound_file_has_no_notes(verdict: golden.Verdict) -> None:
    assert disk.opened(golden.path(verdict["file"])).notes == ()


@pytest.mark.parametrize("verdict", golden.cases(_is_read))
def test_the_footer_is_judged_as_the_reference_does(verdict: golden.Verdict) -> None:
    path = golden.path(verdict["file"])
    unread = verdict["file"] in {"no_footer.apr", "trailing_garbage.apr"}

    faults = checksum_faults(disk.opened(path).checksums)

    # The reference takes the last four bytes; ours stand where the data end.
    assert not faults or not unread
    assert unread or bool(faults) is not verdict["footer_crc_ok"]


def test_the_reference_model_is_written_byte_by_byte() -> None:
    path = golden.path("golden_v2_model.apr")

    assert disk.laid_out(disk.opened(path)) == path.read_bytes()
