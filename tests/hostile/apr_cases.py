"""What can be wrong with an APR v2 file's bytes: header, index, extents.

The header's checksum is right in all of them unless it is what is wrong: a valid
checksum proves nothing about the fields.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import evolve

from tests.hostile import apr_file, apr_models
from tests.hostile.apr_file import HEADER, ROW_MAJOR, AprFile, Entry, aligned
from tests.hostile.case import Case, Expected, RawFile, broken, legal, odd, unsound

BASE: Final = apr_file.valid()
SIZE: Final = len(BASE.tobytes())
DATA: Final = len(BASE.data)
LAST: Final = BASE.entries[-1].name.decode()
NORM: Final = "model.norm.weight"
HEAD: Final = "lm_head.weight"
GIB: Final = 2**30


def _headers() -> Iterator[Case]:
    whole = BASE.tobytes()
    for size in (0, 3, 4, 63, 64):
        yield broken(f"a file of {size} bytes", RawFile("model.apr", whole[:size]))
    old = {"APRN": "APRN", "APR1": "APR1", "APR2": "APR2", "apr\0": "", "RPA\0": ""}
    for magic, where in old.items():
        file = BASE.with_lies(magic=magic.encode())
        yield broken(f"magic {magic!r}", file, where)
    for major in (0, 1, 3, 255):
        file = BASE.with_lies(version_major=major)
        yield broken(f"major version {major}", file, "version")
    newer = BASE.with_lies(version_minor=1)
    yield legal("minor version 1", newer, "another minor version is a warning")
    yield broken("header checksum 0", BASE.with_lies(checksum=0), "checksum")
    for field, value in (("flags", ROW_MAJOR), ("reserved", b"\1" * 20)):
        right = struct.unpack_from("<I", whole, 40)[0]
        file = BASE.with_lies(checksum=right, **{field: value})
        yield broken(f"header checksum of other {field}", file, "checksum")
    reserved = BASE.with_lies(reserved=b"\1" * 20)
    yield odd("reserved bytes that are not zero", reserved, "nobody reads them")


def _flags() -> Iterator[Case]:
    refused = {
        "ENCRYPTED": 0x0004,
        "LAYOUT_COLUMN_MAJOR": 0x0800,
    }
    for name, bit in refused.items():
        word = name.split("_")[-1][:7]
        for rest in (ROW_MAJOR, 0):
            file = BASE.with_lies(flags=bit | rest)
            yield broken(f"flag {name}, others {rest:#06x}", file, word)
    for bit in (0x0001, 0x0002):
        file = BASE.with_lies(flags=bit | ROW_MAJOR)
        why = "no writer compresses: the flag may stand over plain bytes"
        yield odd(f"flag {bit:#06x} over plain bytes", file, why)
    for bit in (0x0008, 0x1000, 0x2000, 0x4000, 0x8000):
        file = BASE.with_lies(flags=bit | ROW_MAJOR)
        yield legal(f"flag {bit:#06x}", file, "signed and undefined bits are ignored")
    yield legal("no flag", BASE.with_lies(flags=0), "old files have none")
    yield broken("a compressed bomb", _bomb(), "COMPRESSED")


def _bomb() -> AprFile:
    """Return a file whose body is an LZ4 block that claims and yields gigabytes."""
    run = b"\x1f\x00\x01\x00" + b"\xff" * 4096 + b"\x00"
    blob = struct.pack("<I", 2**32 - 1) + run * 64
    file = evolve(BASE, metadata=blob, entries=(), data=b"")
    return file.with_lies(flags=ROW_MAJOR | 0x0001, metadata_size=2**31)


def _counts() -> Iterator[Case]:
    for count in (2**32 - 1, 2**31, 2**26, len(BASE.entries) + 1):
        file = BASE.with_lies(tensor_count=count)
        yield broken(f"tensor_count {count}", file, "tensor_count")
    fewer = BASE.with_lies(tensor_count=len(BASE.entries) - 1)
    yield unsound("tensor_count one too small", fewer)
    yield unsound("tensor_count 0", BASE.with_lies(tensor_count=0))


def _sections() -> Iterator[Case]:
    size = len(BASE.metadata)
    places: Mapping[str, tuple[int, ...]] = {
        "metadata_offset": (0, 40, 63, 65, SIZE, SIZE * 2, 2**63, 2**64 - 64),
        "metadata_size": (0, 1, size - 1, size + 64, SIZE, 2**31, 2**32 - 1),
        "tensor_index_offset": (0, 64, SIZE - 1, SIZE, 2**63, 2**64 - 1),
        "data_offset": (0, 64, SIZE, SIZE + 64, 2**63, 2**64 - 64, 2**64 - 1),
    }
    for field, values in places.items():
        for value in values:
            yield broken(f"{field} {value}", BASE.with_lies(**{field: value}))
    wrapping = BASE.with_lies(metadata_offset=2**64 - 64, metadata_size=128)
    yield broken("a metadata extent that wraps", wrapping)
    yield broken(
        "an index inside the metadata", BASE.with_lies(tensor_index_offset=128)
    )
    index = HEADER + aligned(size)
    yield broken("data inside the index", BASE.with_lies(data_offset=index + 64))
    nudged = BASE.with_lies(data_offset=index + _index_size() + 1)
    yield odd("data one byte late", nudged, "unaligned data is a warning")


def _index_size() -> int:
    size = sum(20 + len(each.name) + 8 * len(each.dims) for each in BASE.entries)
    return aligned(size)


def _entries() -> Iterator[Case]:
    sizes = {
        "name_length": (65535, len(LAST) + 1),
        "ndim": (9, 255, 2, 0),
        "size": (2**64 - 1, 2**63, 0, 127, 129, DATA),
        "offset": (2**64 - 1, 2**64 - 64, 2**63, DATA, DATA + 64, SIZE),
        "dtype": (2, 5, 7, 10, 31, 127, 130, 255),
    }
    for field, values in sizes.items():
        for value in values:
            file = BASE.with_entry(LAST, **{field: value})
            yield broken(f"entry {field} {value}", file)
    shapes: Mapping[str, tuple[int, ...]] = {
        "a product that wraps to 0": (2**32, 2**32),
        "a product that wraps to 32": (2**59 + 1, 32),
        "a product times type size that wraps to 128": (2**62 + 32,),
        "a dimension 0": (0,),
        "a dimension 2^64-1": (2**64 - 1,),
        "a product over 2^48": (2**25, 2**24),
        "nine dimensions": (32, *([1] * 8)),
        "a product times type size other than its size": (33,),
    }
    for name, dims in shapes.items():
        yield broken(f"an entry with {name}", BASE.with_entry(LAST, dims=dims))
    # 288 bytes of shape do not fit 255 dimensions: the rest of the index is read.
    many = BASE.with_entry(LAST, dims=(1,) * 255)
    yield broken("an entry with 255 dimensions", many)
    early = BASE.with_entry(LAST, offset=BASE.entries[-1].offset - 4)
    yield odd("an unaligned entry", early, "unaligned tensors are a warning")


def _order() -> Iterator[Case]:
    first, second, *rest = BASE.entries
    yield broken("an unsorted index", evolve(BASE, entries=(second, first, *rest)))
    twice = evolve(BASE, entries=(first, evolve(second, name=first.name), *rest))
    yield broken("a duplicate name", twice, first.name.decode())
    hidden = evolve(BASE, entries=(first, first, *rest))
    yield broken("an entry twice", hidden, first.name.decode())
    shared = BASE.with_entry(
        "model.layers.0.self_attn.v_proj.weight",
        offset=next(
            each.offset
            for each in BASE.entries
            if each.name == b"model.layers.0.self_attn.k_proj.weight"
        ),
    )
    yield odd("two entries on one range", shared, "overlaps are a warning")
    names = {
        "that is not UTF-8": b"model.norm.weight\xff",
        "cut inside a character": b"model.norm.weight\xc3",
    }
    for name, value in names.items():
        yield broken(f"a name {name}", BASE.with_entry(LAST, name=value))
    doubtful = {
        "of 257 bytes": b"model.norm.weight" + b"x" * 240,
        "that climbs": b"model/../../../etc/passwd",
        "with a NUL": b"model.norm\0.weight",
        "with a line break": b"model.norm\n.weight",
        "with a terminal escape": b"model.norm\x1b]0;owned\x07\x1b[31m",
    }
    for name, value in doubtful.items():
        yield unsound(f"a name {name}", BASE.with_entry(LAST, name=value))
    empty = evolve(first, name=b"")
    yield unsound("an empty name", evolve(BASE, entries=(empty, second, *rest)))


def _extents() -> Iterator[Case]:
    bare = evolve(BASE, footer=b"")
    cuts = {
        "1 byte": 1,
        "64 bytes": 64,
        "50 %": len(bare.tobytes()) // 2,
        "95.5 %": int(len(bare.tobytes()) * 0.955),
    }
    for name, cut in cuts.items():
        file = evolve(bare, cut=cut)
        yield broken(f"the last tensor cut by {name}", file, "truncated")
    yield legal("no footer", bare, "converters exist that write none")
    for cut in (1, 2, 3):
        file = evolve(BASE, cut=cut)
        yield odd(f"a footer short by {cut}", file, "the data is whole")
    wrong = evolve(BASE, footer=b"\xde\xad\xbe\xef")
    accepted, refused = Expected.ACCEPTED, Expected.REFUSED
    yield Case("a wrong footer", wrong.write, accepted, refused, "footer")
    tail = evolve(BASE, tail=b"PK\3\4" + bytes(60))
    yield odd("bytes after the footer", tail, "no rule of the format forbids them")
    body = evolve(BASE, data=b"\xff" * DATA)
    yield odd("a body of NaN", body, "values are looked at on request")
    zero = evolve(BASE, data=bytes(DATA))
    yield odd("a body of zeros", zero, "values are looked at on request")


def _sparse() -> Iterator[Case]:
    """Yield files of gigabytes of holes, whose header says that all of it is head."""
    for name, size in {"1 GB": GIB, "300 MB": 300 * 2**20}.items():
        head = BASE.with_lies(
            metadata_size=size,
            tensor_index_offset=size + 64,
            data_offset=size + 128,
            tensor_count=0,
        )
        file = RawFile("model.apr", head.tobytes()[:HEADER], size + 4096)
        yield broken(f"metadata of {name}", file)
    late = BASE.with_lies(
        tensor_index_offset=64 + aligned(len(BASE.metadata)),
        data_offset=GIB,
        tensor_count=2**22,
    )
    start = late.tobytes()[: HEADER + aligned(len(BASE.metadata))]
    yield broken("an index of 1 GB", RawFile("model.apr", start, GIB + 4096))


def _quantised() -> Iterator[Case]:
    """Yield entries whose size fits none of the meanings of their type."""
    q4 = {"one byte short": 64 * 18 - 1, "of other blocks": 64 * 20}
    for name, size in q4.items():
        file = BASE.with_entry(HEAD, dtype=128, size=size)
        yield broken(f"APR q4 {name}", file, HEAD)
    for dtype, size in ((12, 64 * 32 // 256 * 144), (14, 210), (8, 64 * 35), (9, 3)):
        yield broken(
            f"dtype {dtype} of {size} bytes",
            BASE.with_entry(HEAD, dtype=dtype, size=size),
            HEAD,
        )
    scale = struct.pack("<f", float("nan"))
    q8 = Entry(HEAD.encode(), 129, (64, 32), 0, 4 + 64 * 32)
    nan = evolve(
        BASE.with_entry(HEAD, dtype=q8.dtype, size=q8.size),
        data=scale + BASE.data[4:],
    )
    yield odd("an APR q8 scale of NaN", nan, "values are looked at on request")


CASES: Final = [
    *_headers(),
    *_flags(),
    *_counts(),
    *_sections(),
    *_entries(),
    *_order(),
    *_extents(),
    *_sparse(),
    *_quantised(),
    *apr_models.cases(),
]
