"""What can be wrong with the entries of a safetensors header: types, shapes, ranges."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import evolve

from tests.hostile import safetensors_file
from tests.hostile.case import Case
from tests.hostile.safetensors_file import METADATA, SafetensorsFile
from tests.hostile.weights import (
    broken_weights,
    crowded,
    legal_container,
    odd_weights,
)

BASE: Final = safetensors_file.valid()
NORM: Final = "model.norm.weight"
END: Final = len(BASE.data)


def cases() -> Iterator[Case]:
    """Yield every case."""
    yield from _entries()
    yield from _values()
    yield from _ranges()


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
        yield broken_weights(f"an entry that {name}", file, NORM)
    extra = BASE.with_tensor(NORM, surprise=1)
    yield odd_weights("an entry with a key more", extra, "some readers ignore it")


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
            yield broken_weights(name, BASE.with_tensor(NORM, **{field: value}))
    exponent = json.dumps(BASE.table).replace(
        f"[{start}, {stop}]", f"[{start / 1000}e3, {stop}]"
    )
    yield broken_weights("an offset as 1e3", evolve(BASE, header=exponent.encode()))
    zero = json.dumps(BASE.table).replace("[32]", "[-0]", 1)
    yield broken_weights("a dimension -0", evolve(BASE, header=zero.encode()))


def _ranges() -> Iterator[Case]:
    (start, stop), size = BASE.table[NORM]["data_offsets"], 128
    overlapping = BASE.with_tensor(NORM, data_offsets=[start - 64, stop - 64])
    yield broken_weights("overlapping ranges", overlapping)
    before = BASE.with_tensor(NORM, data_offsets=[start - size, stop - size])
    yield broken_weights("a tensor over another, and a hole", before)
    yield broken_weights("a hole between tensors", BASE.without(NORM))
    shared = BASE.with_tensor("x", dtype="F32", shape=[32], data_offsets=[start, stop])
    yield broken_weights("two tensors on one range", shared)
    late = evolve(BASE, data=bytes(8) + BASE.data)
    yield broken_weights(
        "a data section that does not start with a tensor", _moved(late, 8)
    )
    yield broken_weights("ten thousand tensors on one range", crowded(10_000))
    for dtype, count in (("F4", 3), ("F6_E2M3", 3), ("F6_E3M2", 1)):
        odd_bits = BASE.plus("x", dtype, [count], bytes(2))
        yield broken_weights(f"{count} elements of {dtype}", odd_bits, dtype)
    empty = BASE.plus("x", "F32", [0], b"")
    name = "a zero-size tensor at the end"
    yield legal_container(name, empty, "no byte is claimed twice")
    inner = BASE.with_tensor("x", dtype="F32", shape=[0, 7], data_offsets=[stop, stop])
    name = "a zero-size tensor among others sharing an offset"
    yield legal_container(name, inner, "no byte is claimed twice")
    scalar = BASE.plus("x", "F32", [], bytes(4))
    yield legal_container("a scalar", scalar, "no dimension, one element")
    within = BASE.with_tensor("x", dtype="F32", shape=[0], data_offsets=[5, 5])
    yield odd_weights(
        "a zero-size tensor inside another", within, "no byte is claimed twice"
    )
    beyond = BASE.with_tensor("x", dtype="F32", shape=[0], data_offsets=[2**60] * 2)
    yield broken_weights("a zero-size tensor beyond the file", beyond)


def _moved(file: SafetensorsFile, by: int) -> SafetensorsFile:
    table = {
        name: {**info, "data_offsets": [at + by for at in info["data_offsets"]]}
        for name, info in file.table.items()
        if name != METADATA
    }
    return evolve(file, table=table)
