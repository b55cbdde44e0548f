"""The APR judge against the reference implementation's files and verdicts."""

import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from tests.judges.apr_checker import check, read, runnable
from tests.judges.apr_container import MalformedError, align64
from tests.plugins.apr import golden
from tests.plugins.apr.golden import Verdict

# Valid for the reference reader, which leaves to other tools what a strict reader
# has to refuse; and the other way round.
STRICTER = {
    "bad_footer.apr": "footer CRC",
    "duplicate_names.apr": "b'bias' after b'bias'",
    "encrypted_flag.apr": "encrypted",
    "lz4_flag_uncompressed.apr": "LZ4",
    "offset_overflow_u64.apr": "ends at",
    "shape_product_overflow.apr": "shape",
    "shape_size_mismatch.apr": "80 expected",
    "tensor_data_past_eof.apr": "32 expected",
    "truncated_in_data.apr": "ends at",
    "version_9_9_reserved_nonzero.apr": "version 9.9",
    "writer_quirks.apr": "can't decode",
}
TYPES_ARE_JUDGED_LATER = {
    "dims_as_floats.apr": "hidden_size is 32.0",
    "dims_as_strings.apr": "hidden_size is '32'",
    "err_metadata_model_type_null.apr": "model_type is None",
}
# Served by the reference system, silently as another architecture.
NOT_RUNNABLE_TO_US = ("s86_llama_arch_qwen2_tensors.apr",)


def is_model(verdict: Verdict) -> bool:
    return str(verdict["file"]).endswith(".apr")


def is_readable(verdict: Verdict) -> bool:
    readable: bool = verdict["reader"]["ok"]
    return is_model(verdict) and readable and verdict["file"] not in STRICTER


def is_refused(verdict: Verdict) -> bool:
    return (
        is_model(verdict)
        and not verdict["reader"]["ok"]
        and verdict["file"] not in TYPES_ARE_JUDGED_LATER
    )


@pytest.mark.parametrize("verdict", golden.cases(is_readable))
def test_payloads_are_those_of_the_reference(verdict: Verdict) -> None:
    content = read(golden.path(verdict["file"]))
    found = {
        name: (dtype, list(shape), hashlib.sha256(payload).hexdigest())
        for name, (dtype, shape, payload) in content.tensors.items()
    }
    assert found == {
        tensor["name"]: (tensor["dtype_id"], tensor["shape"], tensor["raw_sha256"])
        for tensor in verdict["tensors"]
    }


@pytest.mark.parametrize("verdict", golden.cases(is_refused))
def test_what_the_reference_refuses_is_refused(verdict: Verdict) -> None:
    with pytest.raises(MalformedError):
        read(golden.path(verdict["file"]))


@pytest.mark.parametrize(("name", "words"), STRICTER.items())
def test_what_the_reference_lets_pass_is_refused(name: str, words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        read(golden.path(name))


@pytest.mark.parametrize(("name", "words"), TYPES_ARE_JUDGED_LATER.items())
def test_a_wrong_type_in_the_metadata_is_a_finding(name: str, words: str) -> None:
    assert words in "\n".join(check(golden.path(name)))
    assert words in "\n".join(runnable(golden.path(name)))


@pytest.mark.parametrize("verdict", golden.cases(is_model))
def test_runnable_is_what_the_reference_gates_and_then_loads(verdict: Verdict) -> None:
    gate = verdict.get("gate") or {}
    loads = (gate.get("inference_full_weight_load") or {}).get("ok", False)
    expected = gate.get("runnable", False) and loads
    found = runnable(golden.path(verdict["file"]))
    assert (not found) == (expected and verdict["file"] not in NOT_RUNNABLE_TO_US)


@pytest.mark.parametrize(
    "name", ["golden_v2_model.apr", "dtypes.apr", "kquants.apr", "zero_tensors.apr"]
)
def test_files_of_the_reference_writer_break_no_rule(name: str) -> None:
    assert check(golden.path(name)) == []


METADATA: dict[str, Any] = {
    "model_type": "demo",
    "license": "MIT",
    "data_source": None,
    "data_license": None,
    "total_size": 0,
    "param_count": 8,
    "tokenizer.vocabulary": ["a", "b"],
}

Parts = dict[str, Any]


def parts() -> Parts:
    """Return what a perfect file of two tensors is made of."""
    return {
        "metadata": json.dumps(METADATA, separators=(",", ":")).encode(),
        "flags": 0x0620,
        "version": (2, 0),
        "reserved": bytes(20),
        "index": _entry("a", 129, (2,), 0, 6) + _entry("w", 0, (2, 3), 64, 24),
        "payloads": pack("<f2b", 0.5, 127, -64).ljust(64, b"\0")
        + pack("<6f40x", *[1] * 6),
        "filler": b"\0",
        "tail": b"",
    }


def _entry(
    name: str, dtype: int, shape: tuple[int, ...], offset: int, size: int
) -> bytes:
    head = pack("<H", len(name)) + name.encode() + pack("<BB", dtype, len(shape))
    return head + pack(f"<{len(shape)}QQQ", *shape, offset, size)


def written(path: Path, made: Parts) -> Path:
    """Write a file by the layout of the format, with its checksums right."""
    sections = [
        section.ljust(align64(len(section)), made["filler"])
        for section in (made["metadata"], made["index"])
    ]
    index = 64 + len(sections[0])
    numbers = (64, len(made["metadata"]), index, index + len(sections[1]))
    start = b"APR\0" + pack("<BBHI", *made["version"], made["flags"], 2)
    start += pack("<QIQQ", *numbers)
    checksum = pack("<I", zlib.crc32(start + made["reserved"]))
    body = start + checksum + made["reserved"] + b"".join(sections) + made["payloads"]
    path.write_bytes(body + pack("<I", zlib.crc32(body)) + made["tail"])
    return path


def test_a_file_by_the_rules_breaks_none(tmp_path: Path) -> None:
    assert check(written(tmp_path / "model.apr", parts())) == []


def _metadata(**changes: Any) -> Callable[[Parts], Parts]:
    text = json.dumps({**METADATA, **changes}, separators=(",", ":"))
    return lambda made: {**made, "metadata": text.encode()}


def _with(**changes: Any) -> Callable[[Parts], Parts]:
    return lambda made: {**made, **changes}


def _replaced(part: str, old: bytes, new: bytes) -> Callable[[Parts], Parts]:
    return lambda made: {**made, part: made[part].replace(old, new)}


BREACHES = {
    "quantized flag missing": (_with(flags=0x0600), "flags 0x0600"),
    "vocabulary flag missing": (_with(flags=0x0420), "flags 0x0420"),
    "row-major flag missing": (_with(flags=0x0220), "flags 0x0220"),
    "undefined flag": (_with(flags=0x8620), "flags 0x8620"),
    "minor version": (_with(version=(2, 1)), "version"),
    "reserved bytes": (_with(reserved=b"\1" * 20), "reserved"),
    "padding of sections": (_with(filler=b"\1"), "padding"),
    "bytes after the footer": (_with(tail=b"\0"), "layout"),
    "padding of a payload": (_replaced("payloads", b"\0" * 40, b"\1" * 40), "padding"),
    "unaligned payload": (
        _with(index=_entry("a", 129, (2,), 4, 6) + _entry("w", 0, (2, 3), 64, 24)),
        "offset 4, 0 expected",
    ),
    "legacy dtype": (_replaced("index", b"a\x81", b"a\x09"), "legacy dtype id 9"),
    "size of a payload": (_replaced("index", b"\x18\0\0", b"\x14\0\0"), "24 expected"),
    "order of the index": (_replaced("index", b"\1\0w", b"\1\0A"), "after b'a'"),
    "spaces in the JSON": (_replaced("metadata", b":0,", b": 0,"), "not compact"),
    "repeated key": (
        _replaced("metadata", b'"total_size":0', b'"total_size":0,"total_size":0'),
        "repeated",
    ),
    "provenance left out": (
        _replaced("metadata", b'"data_source":null,', b""),
        "missing",
    ),
    "null of a typed key": (_metadata(name=None), "name is None"),
    "dimension as a float": (_metadata(hidden_size=64.0), "hidden_size is 64.0"),
    "boolean as a number": (_metadata(num_layers=True), "num_layers is True"),
    "rope type": (_metadata(rope_type=1), "rope_type is 1"),
    "alias": (_metadata(n_layer=2), "alias n_layer"),
    "two spellings": (_metadata(num_layers=2, n_layer=2), "spelled"),
    "order of the keys": (_metadata(architecture="llama"), "writing order"),
    "merges as pairs": (_metadata(**{"tokenizer.merges": [["a", "b"]]}), "merges"),
    "scores too few": (_metadata(**{"tokenizer.scores": [0.0]}), "parallel"),
    "end token": (_metadata(**{"tokenizer.eos_token_id": 2}), "eos_token_id"),
    "shapes told wrong": (_metadata(tensor_shapes={"a": [3]}), "tensor_shapes"),
    "tie told wrong": (_metadata(tied_embeddings=True), "tied_embeddings"),
}


@pytest.mark.parametrize(("breach", "words"), BREACHES.values(), ids=BREACHES)
def test_each_breach_is_found(
    breach: Callable[[Parts], Parts], words: str, tmp_path: Path
) -> None:
    found = check(written(tmp_path / "model.apr", breach(parts())))
    assert words in "\n".join(found)
