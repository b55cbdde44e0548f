"""What can be wrong with a safetensors file, in an otherwise valid model folder."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from tests.hostile import safetensors_file, safetensors_tables
from tests.hostile.case import Case, Expected, RawFile, legal
from tests.hostile.model_folder import WEIGHTS
from tests.hostile.safetensors_file import METADATA
from tests.hostile.weights import Inside, broken_weights, crowded, odd_weights

BASE: Final = safetensors_file.valid()
NORM: Final = "model.norm.weight"
END: Final = len(BASE.data)
LIMIT: Final = 100_000_000
"""The longest header that the format's own library reads, in bytes."""


def _raw(data: bytes) -> RawFile:
    return RawFile(WEIGHTS, data)


def _lengths() -> Iterator[Case]:
    whole = BASE.tobytes()
    for size in (0, 1, 7, 8, 9):
        yield broken_weights(f"a file of {size} bytes", _raw(whole[:size]))
    header = len(BASE.text())
    lengths = {
        "0": 0,
        "1": 1,
        "one too small": header - 1,
        "one too large": header + 1,
        "of the file": len(whole),
        "one over the file": len(whole) - 7,
        "10^12": 10**12,
        "2^63-1": 2**63 - 1,
        "2^63": 2**63,
        "2^64-1": 2**64 - 1,
        "100,000,001": LIMIT + 1,
    }
    for name, length in lengths.items():
        yield broken_weights(f"header length {name}", evolve(BASE, length=length))
    sparse = RawFile(WEIGHTS, (LIMIT + 1).to_bytes(8, "little") + b"{", LIMIT * 2)
    yield broken_weights("header length 100,000,001 in a file that is longer", sparse)
    for cut in (1, END // 2, END - 1, END, END + 1):
        yield broken_weights(f"cut by {cut} bytes", evolve(BASE, cut=cut))
    for tail in (b"\0", b"PK\3\4" + bytes(60), BASE.tobytes()):
        name = f"{len(tail)} bytes after the last tensor"
        yield broken_weights(name, evolve(BASE, tail=tail))


def _texts() -> Iterator[Case]:
    text = BASE.text().rstrip()
    start = text[:-1] + b',"x":'
    texts = {
        "empty object": b"{}",
        "not JSON": b"tensors: none...",
        "a list": b"[" + text + b"]",
        "a string": b'"header"',
        "a number": b"12345678",
        "null": b"null    ",
        "not UTF-8": text.replace(b"lm_head", b"lm_h\xffad"),
        "UTF-16": text.decode().encode("utf-16"),
        "with a byte order mark": b"\xef\xbb\xbf" + text,
        "after spaces": b"        " + text,
        "after a line break": b"\n" + text,
        "followed by NULs": text + bytes(8),
        "followed by an object": text + b"{}",
        "followed by text": text + b" x",
        "nested lists, 100,000 deep": start + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "nested objects, 100,000 deep": start + b'{"a":' * 100_000,
        "single quotes": text.replace(b'"', b"'"),
        "a trailing comma": text[:-1] + b",}",
        "a comment": text[:-1] + b"/* */}",
    }
    for name, header in texts.items():
        yield broken_weights(f"header {name}", evolve(BASE, header=header))
    spaces = evolve(BASE, header=text + b" " * 4096)
    yield legal("header followed by spaces", Inside(spaces), "that is its padding")
    plain = BASE.without(METADATA)
    yield legal("no __metadata__", Inside(plain), "it is optional")
    yield from _literals(text)


def _literals(text: bytes) -> Iterator[Case]:
    for literal in (b"NaN", b"Infinity", b"-Infinity"):
        name = literal.decode()
        shape = text.replace(b'"shape":[32]', b'"shape":[' + literal + b"]", 1)
        yield broken_weights(f"{name} in a shape", evolve(BASE, header=shape))
        entry = text[:-1] + b',"x":' + literal + b"}"
        yield broken_weights(f"{name} as an entry", evolve(BASE, header=entry))
        value = text.replace(b'"format":"pt"', b'"format":' + literal)
        yield broken_weights(f"{name} in the metadata", evolve(BASE, header=value))
    digits = text.replace(b'"shape":[32]', b'"shape":[1' + b"0" * 5000 + b"]", 1)
    yield broken_weights("a dimension of 5000 digits", evolve(BASE, header=digits))


def _metadata() -> Iterator[Case]:
    values: Mapping[str, Any] = {
        "a number in it": {"format": 7},
        "a list in it": {"format": ["pt"]},
        "an object in it": {"format": {"a": "b"}},
        "null in it": {"format": None},
        "true in it": {"format": True},
    }
    for name, value in values.items():
        yield broken_weights(
            f"__metadata__ with {name}", BASE.with_metadata(value), METADATA
        )
    whole: tuple[Any, ...] = (["pt"], "pt", 7)
    for value in whole:
        yield broken_weights(f"__metadata__ is {value!r}", BASE.with_metadata(value))
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [END, END + 4]}
    file = evolve(BASE.with_metadata(tensor), data=BASE.data + bytes(4))
    yield broken_weights("a tensor named __metadata__", file, METADATA)
    null = BASE.with_metadata(None)
    yield odd_weights("__metadata__ is null", null, "some readers take it as absent")
    empty = BASE.with_metadata({})
    yield legal("__metadata__ is empty", Inside(empty), "it may hold nothing")


def _duplicates() -> Iterator[Case]:
    text = BASE.text().rstrip()
    info = json.dumps(BASE.table[NORM]).encode()
    other = info.replace(b"[32]", b"[4, 8]")
    for name, entry in {"same": info, "other": other}.items():
        header = text[:-1] + b',"' + NORM.encode() + b'":' + entry + b"}"
        file = evolve(BASE, header=header)
        yield broken_weights(f"a duplicate tensor, {name} entry", file, NORM)
    metadata = text[:-1] + b',"__metadata__":{"format":"tf"}}'
    yield broken_weights("a duplicate __metadata__", evolve(BASE, header=metadata))
    inner = text.replace(b'"dtype":"F32"', b'"dtype":"F16","dtype":"F32"', 1)
    yield broken_weights(
        "a duplicate key in an entry", evolve(BASE, header=inner), "dtype"
    )


def _names() -> Iterator[Case]:
    texts = {
        "empty": "",
        "a path": "../../../etc/passwd",
        "with a NUL": "model\0norm",
        "with a line break": "model\nnorm",
        "with a terminal escape": "\x1b]0;owned\x07\x1b[31mnorm",
        "of 1 MB": "x" * 2**20,
        "a lone surrogate": "\ud800",
    }
    for name, text in texts.items():
        table = {
            text if key == NORM else key: value for key, value in BASE.table.items()
        }
        file = Inside(evolve(BASE, table=table))
        either, refused = Expected.EITHER, Expected.REFUSED
        yield Case(f"a tensor name {name}", file.write, either, refused)


def _others() -> Iterator[Case]:
    pickled = b"\x80\x04\x95\x1c\0\0\0\0\0\0\0\x8c\x05posix\x8c\x06system\x93."
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("archive/data.pkl", pickled)
    lfs = (
        b"version https://git-lfs.github.com/spec/v1\n"
        b"oid sha256:" + b"0" * 64 + b"\nsize 123456789\n"
    )
    html = b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"
    texts = {
        "a pickle": (pickled, ""),
        "a zip archive": (archive.getvalue(), ""),
        "a Git-LFS pointer": (lfs, "LFS"),
        "an HTML page": (html, "HTML"),
        "an HTML page after spaces": (b"\r\n  " + html.lower(), "HTML"),
        "a JSON error": (b'{"error":"Repository not found"}', ""),
        "a GGUF file": (b"GGUF\3\0\0\0" + bytes(16), ""),
        "gzip": (b"\x1f\x8b\x08" + bytes(32), ""),
    }
    for name, (data, where) in texts.items():
        yield broken_weights(f"{name} as weights", _raw(data), where)


CASES: Final = [
    *_lengths(),
    *_texts(),
    *_metadata(),
    *_duplicates(),
    *safetensors_tables.cases(),
    *_names(),
    *_others(),
]


@frozen
class Filled:
    """A file whose header is filled up to the format's limit, made as it is written."""

    start: bytes = b""
    fill: bytes = b" "
    end: bytes = b""

    def write(self, folder: Path) -> Path:
        """Write the file into a folder."""
        room = LIMIT - len(self.start) - len(self.end)
        filling = self.fill * (room // len(self.fill))
        rest = b" " * (room - len(filling))
        path = folder / WEIGHTS
        with path.open("wb") as file:
            file.write(LIMIT.to_bytes(8, "little") + self.start)
            file.write(filling)
            file.write(rest + self.end)
        return path


@frozen
class Crowd:
    """A file with a great many names for its first bytes, made as it is written."""

    count: int

    def write(self, folder: Path) -> Path:
        """Write the file into a folder."""
        return crowded(self.count).write(folder)


HEAVY: Final = [
    broken_weights("100 MB of spaces", Filled()),
    broken_weights("100 MB of spaces, then an object", Filled(end=b"{}")),
    odd_weights(
        "an object, then 100 MB of spaces", Filled(b"{}"), "spaces are its padding"
    ),
    broken_weights("100 MB of lists that open", Filled(b'{"x":', b"[")),
    broken_weights("100 MB of empty lists", Filled(b'{"x":[', b"[],", b"0]}")),
    broken_weights("1,500,000 tensors on one range", Crowd(1_500_000)),
]
