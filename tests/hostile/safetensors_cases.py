"""What can be wrong with a safetensors file, in an otherwise valid model folder."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from tests.hostile import model_folder, safetensors_file
from tests.hostile.case import Case, Expected, RawFile, Writable, broken, legal, odd
from tests.hostile.model_folder import WEIGHTS
from tests.hostile.safetensors_file import METADATA, SafetensorsFile

BASE: Final = safetensors_file.valid()
NORM: Final = "model.norm.weight"
HEAD: Final = "lm_head.weight"
END: Final = len(BASE.data)
LIMIT: Final = 100_000_000
"""The longest header that the format's own library reads, in bytes."""


@frozen
class Inside:
    """A weights file in a model folder that is valid but for it."""

    weights: Writable

    def write(self, folder: Path) -> Path:
        """Write the folder, then the file over its weights."""
        target = model_folder.valid().write(folder)
        self.weights.write(target)
        return target


def _broken(name: str, weights: Writable, where: str = "") -> Case:
    return broken(name, Inside(weights), where)


def _odd(name: str, weights: Writable, why: str) -> Case:
    return odd(name, Inside(weights), why)


def _container_is_legal(name: str, weights: Writable, why: str) -> Case:
    """Return a case that is fine as a file, whatever the model is worth."""
    accepted, either = Expected.ACCEPTED, Expected.EITHER
    return Case(name, Inside(weights).write, accepted, either, why=why)


def _raw(data: bytes) -> RawFile:
    return RawFile(WEIGHTS, data)


def _lengths() -> Iterator[Case]:
    whole = BASE.tobytes()
    for size in (0, 1, 7, 8, 9):
        yield _broken(f"a file of {size} bytes", _raw(whole[:size]))
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
        yield _broken(f"header length {name}", evolve(BASE, length=length))
    sparse = RawFile(WEIGHTS, (LIMIT + 1).to_bytes(8, "little") + b"{", LIMIT * 2)
    yield _broken("header length 100,000,001 in a file that is longer", sparse)
    for cut in (1, END // 2, END - 1, END, END + 1):
        yield _broken(f"cut by {cut} bytes", evolve(BASE, cut=cut))
    for tail in (b"\0", b"PK\3\4" + bytes(60), BASE.tobytes()):
        name = f"{len(tail)} bytes after the last tensor"
        yield _broken(name, evolve(BASE, tail=tail))


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
        yield _broken(f"header {name}", evolve(BASE, header=header))
    spaces = evolve(BASE, header=text + b" " * 4096)
    yield legal("header followed by spaces", Inside(spaces), "that is its padding")
    plain = BASE.without(METADATA)
    yield legal("no __metadata__", Inside(plain), "it is optional")
    yield from _literals(text)


def _literals(text: bytes) -> Iterator[Case]:
    for literal in (b"NaN", b"Infinity", b"-Infinity"):
        name = literal.decode()
        shape = text.replace(b'"shape":[32]', b'"shape":[' + literal + b"]", 1)
        yield _broken(f"{name} in a shape", evolve(BASE, header=shape))
        entry = text[:-1] + b',"x":' + literal + b"}"
        yield _broken(f"{name} as an entry", evolve(BASE, header=entry))
        value = text.replace(b'"format":"pt"', b'"format":' + literal)
        yield _broken(f"{name} in the metadata", evolve(BASE, header=value))
    digits = text.replace(b'"shape":[32]', b'"shape":[1' + b"0" * 5000 + b"]", 1)
    yield _broken("a dimension of 5000 digits", evolve(BASE, header=digits))


def _metadata() -> Iterator[Case]:
    values: Mapping[str, Any] = {
        "a number in it": {"format": 7},
        "a list in it": {"format": ["pt"]},
        "an object in it": {"format": {"a": "b"}},
        "null in it": {"format": None},
        "true in it": {"format": True},
    }
    for name, value in values.items():
        yield _broken(f"__metadata__ with {name}", BASE.with_metadata(value), METADATA)
    whole: tuple[Any, ...] = (["pt"], "pt", 7)
    for value in whole:
        yield _broken(f"__metadata__ is {value!r}", BASE.with_metadata(value))
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [END, END + 4]}
    file = evolve(BASE.with_metadata(tensor), data=BASE.data + bytes(4))
    yield _broken("a tensor named __metadata__", file, METADATA)
    null = BASE.with_metadata(None)
    yield _odd("__metadata__ is null", null, "some readers take it as absent")
    empty = BASE.with_metadata({})
    yield legal("__metadata__ is empty", Inside(empty), "it may hold nothing")


def _duplicates() -> Iterator[Case]:
    text = BASE.text().rstrip()
    info = json.dumps(BASE.table[NORM]).encode()
    other = info.replace(b"[32]", b"[4, 8]")
    for name, entry in {"same": info, "other": other}.items():
        header = text[:-1] + b',"' + NORM.encode() + b'":' + entry + b"}"
        file = evolve(BASE, header=header)
        yield _broken(f"a duplicate tensor, {name} entry", file, NORM)
    metadata = text[:-1] + b',"__metadata__":{"format":"tf"}}'
    yield _broken("a duplicate __metadata__", evolve(BASE, header=metadata))
    inner = text.replace(b'"dtype":"F32"', b'"dtype":"F16","dtype":"F32"', 1)
    yield _broken("a duplicate key in an entry", evolve(BASE, header=inner), "dtype")


def _entries() -> Iterator[Case]:
    info = BASE.table[NORM]
    entries: Mapping[str, Any] = {
        "is a list": [info],
        "is null": None,
        "is a string": "F32",
        "is empty": {},
        "has no dtype": {key: info[key] for key in ("shape", "data_offsets")},
        "has no shape": {key: info[key] for key in ("dtype", "data_offsets")},
        "has no data_offsets": {key: info[key] for key in ("dtype", "shape")},
    }
    for name, entry in entries.items():
        file = evolve(BASE, table={**BASE.table, NORM: entry})
        yield _broken(f"an entry that {name}", file, NORM)
    extra = BASE.with_tensor(NORM, surprise=1)
    yield _odd("an entry with a key more", extra, "some readers ignore it")


def _values() -> Iterator[Case]:
    start, stop = BASE.table[NORM]["data_offsets"]
    changes: Mapping[str, tuple[Any, ...]] = {
        "dtype": ("X9", "", "f32", "F32 ", "F4_TYPO", None, 7, ["F32"], "F16", "F64"),
        "shape": (
            *([-32], [-4, -8], [32.0], ["32"], [32, True], [None], [[32]], 32, "32"),
            *(None, {}, [31], [33], [0], [2**64], [2**63], [2**32, 2**32]),
            *([2**59 + 1, 32], [2**62 + 32], [1] * 1000 + [33], [10**40]),
        ),
        "data_offsets": (
            *([], [start], [start, stop, stop], [stop, start], None, "0", {}),
            *([-1, 127], [-128, 0], [float(start), stop], [str(start), stop]),
            *([start, True], [None, stop], [start, END * 2], [start, stop + 1]),
            *([start + 1, stop + 1], [2**64 - 128, 2**64], [2**63, 2**63 + 128]),
            *([start, 10**40], [0, 128]),
        ),
    }
    for field, values in changes.items():
        for value in values:
            name = f"{field} {json.dumps(value)}"[:80]
            yield _broken(name, BASE.with_tensor(NORM, **{field: value}))
    exponent = json.dumps(BASE.table).replace(
        f"[{start}, {stop}]", f"[{start / 1000}e3, {stop}]"
    )
    yield _broken("an offset as 1e3", evolve(BASE, header=exponent.encode()))
    zero = json.dumps(BASE.table).replace("[32]", "[-0]", 1)
    yield _broken("a dimension -0", evolve(BASE, header=zero.encode()))


def _ranges() -> Iterator[Case]:
    (start, stop), size = BASE.table[NORM]["data_offsets"], 128
    overlapping = BASE.with_tensor(NORM, data_offsets=[start - 64, stop - 64])
    yield _broken("overlapping ranges", overlapping)
    before = BASE.with_tensor(NORM, data_offsets=[start - size, stop - size])
    yield _broken("a tensor over another, and a hole", before)
    yield _broken("a hole between tensors", BASE.without(NORM))
    shared = BASE.with_tensor("x", dtype="F32", shape=[32], data_offsets=[start, stop])
    yield _broken("two tensors on one range", shared)
    late = evolve(BASE, data=bytes(8) + BASE.data)
    yield _broken("a data section that does not start with a tensor", _moved(late, 8))
    yield _broken("ten thousand tensors on one range", _many(10_000))
    for dtype, count in (("F4", 3), ("F6_E2M3", 3), ("F6_E3M2", 1)):
        odd_bits = BASE.plus("x", dtype, [count], bytes(2))
        yield _broken(f"{count} elements of {dtype}", odd_bits, dtype)
    empty = BASE.plus("x", "F32", [0], b"")
    name = "a zero-size tensor at the end"
    yield _container_is_legal(name, empty, "no byte is claimed twice")
    inner = BASE.with_tensor("x", dtype="F32", shape=[0, 7], data_offsets=[stop, stop])
    name = "a zero-size tensor among others sharing an offset"
    yield _container_is_legal(name, inner, "no byte is claimed twice")
    scalar = BASE.plus("x", "F32", [], bytes(4))
    yield _container_is_legal("a scalar", scalar, "no dimension, one element")
    within = BASE.with_tensor("x", dtype="F32", shape=[0], data_offsets=[5, 5])
    yield _odd("a zero-size tensor inside another", within, "no byte is claimed twice")
    beyond = BASE.with_tensor("x", dtype="F32", shape=[0], data_offsets=[2**60] * 2)
    yield _broken("a zero-size tensor beyond the file", beyond)


def _moved(file: SafetensorsFile, by: int) -> SafetensorsFile:
    table = {
        name: {**info, "data_offsets": [at + by for at in info["data_offsets"]]}
        for name, info in file.table.items()
        if name != METADATA
    }
    return evolve(file, table=table)


def _many(count: int) -> SafetensorsFile:
    """Return a file with many names for its first bytes."""
    text = BASE.text().rstrip()
    entry = b',"x%d":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}'
    more = b"".join(entry % index for index in range(count))
    return evolve(BASE, header=text[:-1] + more + b"}")


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
        yield _broken(f"{name} as weights", _raw(data), where)


CASES: Final = [
    *_lengths(),
    *_texts(),
    *_metadata(),
    *_duplicates(),
    *_entries(),
    *_values(),
    *_ranges(),
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
        return _many(self.count).write(folder)


HEAVY: Final = [
    _broken("100 MB of spaces", Filled()),
    _broken("100 MB of spaces, then an object", Filled(end=b"{}")),
    _odd("an object, then 100 MB of spaces", Filled(b"{}"), "spaces are its padding"),
    _broken("100 MB of lists that open", Filled(b'{"x":', b"[")),
    _broken("100 MB of empty lists", Filled(b'{"x":[', b"[],", b"0]}")),
    _broken("1,500,000 tensors on one range", Crowd(1_500_000)),
]
