"""Files of importance matrices that are cut, bent or contradict themselves."""

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from aprhub.errors import AprhubError, CorruptFileError, UnknownFormatError
from aprhub.importance import opened
from aprhub.registry import Registry
from tests.judges.importances import DATASET, Entry, legacy, write_gguf
from tests.plugins.gguf import raw

REGISTRY = Registry.load()
SUMS = np.array([1, 2, 4], np.float32)
ENTRIES = {"blk.0.attn_q.weight": Entry(SUMS, 4), "blk.0.attn_k.weight": Entry(SUMS, 2)}
LEGACY = legacy(ENTRIES)


def i32(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


def of_bytes(folder: Path, data: bytes) -> Path:
    path = folder / "m.dat"
    path.write_bytes(data)
    return path


def test_sums_and_counts_are_read(tmp_path: Path) -> None:
    found = opened(write_gguf(tmp_path / "m.gguf", ENTRIES), REGISTRY)

    query = found.entries["blk.0.attn_q.weight"]
    assert query.counts == (4,)
    assert query.importance().numpy().tolist() == [0.25, 0.5, 1]
    assert (found.datasets, found.chunks, found.chunk_size) == ((DATASET,), 3, 512)


def test_what_was_never_seen_counts_the_same_everywhere(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"a": Entry(SUMS, 0)})

    assert opened(path, REGISTRY).entries["a"].importance().numpy().tolist() == [1] * 3


def test_of_experts_each_has_sums_and_a_count(tmp_path: Path) -> None:
    path = written(
        tmp_path, {"e.in_sum2": ((2, 3), range(6)), "e.counts": ((2, 1), (2, 0))}
    )

    found = opened(path, REGISTRY).entries["e"]

    assert found.columns == 3
    one, other = (each.importance().numpy().tolist() for each in found.split(2))
    assert one == [0, 0.5, 1]
    assert other == [1, 1, 1]


def test_the_older_kind_is_read(tmp_path: Path) -> None:
    found = opened(of_bytes(tmp_path, LEGACY), REGISTRY)

    key = found.entries["blk.0.attn_k.weight"]
    assert key.importance().numpy().tolist() == [0.5, 1, 2]
    assert (found.datasets, found.chunks) == ((DATASET,), 3)


def test_the_older_kind_without_calls_is_taken_as_it_is(tmp_path: Path) -> None:
    data = i32(1, 1) + b"a" + i32(0, 3) + SUMS.tobytes()

    found = opened(of_bytes(tmp_path, data), REGISTRY)

    assert found.entries["a"].importance().numpy().tolist() == SUMS.tolist()


def test_the_older_kind_cut_anywhere_is_refused(tmp_path: Path) -> None:
    tail = len(DATASET) + 8
    whole = {len(LEGACY), len(LEGACY) - tail, len(LEGACY) - tail + 4}
    for length in range(len(LEGACY)):
        path = of_bytes(tmp_path, LEGACY[:length])
        if length in whole:
            assert len(opened(path, REGISTRY).entries) == 2
        else:
            with pytest.raises((CorruptFileError, UnknownFormatError)):
                opened(path, REGISTRY)


LEGACY_FAULTS = {
    "entries": (i32(2**31 - 1) + LEGACY[4:], "no importance matrix"),
    "negative-entries": (i32(-1) + LEGACY[4:], "no importance matrix"),
    "name-length": (i32(1, 70000) + b"a" * 70016, "no importance matrix"),
    "second-name-length": (
        i32(2, 1) + b"a" + i32(1, 1) + bytes(4) + i32(2**31 - 1) + bytes(20),
        "length of name of entry 1",
    ),
    "negative-calls": (i32(1, 1) + b"a" + i32(-1, 1) + bytes(4), "calls of a"),
    "values": (i32(1, 1) + b"a" + i32(1, 2**31 - 1) + bytes(4), "values of a"),
    "no-values": (i32(1, 1) + b"a" + i32(1, 0) + bytes(4), "values of a"),
    "twice": (
        i32(2) + 2 * (i32(1) + b"a" + i32(1, 1) + bytes(4)),
        "'a' is there twice",
    ),
    "not-text": (i32(1, 1) + b"\xff" + i32(1, 1) + bytes(4), "not part of UTF-8"),
    "control": (i32(1, 1) + b"\0" + i32(1, 1) + bytes(4), "control characters"),
    "surplus": (LEGACY + b"x", "belong to nothing"),
    "chunks": (
        i32(1, 1) + b"a" + i32(1, 1) + bytes(4) + i32(-1),
        "chunk count",
    ),
}


@pytest.mark.parametrize(("data", "where"), LEGACY_FAULTS.values(), ids=LEGACY_FAULTS)
def test_the_older_kind_that_contradicts_itself_is_refused(
    data: bytes, where: str, tmp_path: Path
) -> None:
    with pytest.raises((CorruptFileError, UnknownFormatError), match=where):
        opened(of_bytes(tmp_path, data), REGISTRY)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-30])
@pytest.mark.parametrize("write", ["gguf", "dat"])
def test_what_is_no_sum_of_squares_is_refused(
    write: str, value: float, tmp_path: Path
) -> None:
    entries = {"a": Entry(np.array([1, 2, value, 3], np.float32), 1)}
    path = tmp_path / "m"
    if write == "gguf":
        write_gguf(path, entries)
    else:
        path.write_bytes(legacy(entries))

    with pytest.raises(CorruptFileError, match=r"a: .* at 2 is no sum of squares"):
        opened(path, REGISTRY)


Tensors = dict[str, tuple[tuple[int, ...], Iterable[float]]]

KEYS = (
    raw.entry("general.type", raw.STRING, "imatrix"),
    raw.array("imatrix.datasets", raw.STRING, ["text"]),
    raw.entry("imatrix.chunk_count", raw.U32, 3),
    raw.entry("imatrix.chunk_size", raw.U32, 512),
)


def written(folder: Path, tensors: Tensors, keys: tuple[raw.Entry, ...] = KEYS) -> Path:
    rows, data = [], b""
    for name, (shape, values) in tensors.items():
        rows.append(raw.Row(name.encode(), shape[::-1], 0, len(data)))
        block = np.array([*values], np.float32).tobytes()
        data += block + bytes(-len(block) % 32)
    return raw.File(keys, rows, data).write(folder / "m.gguf")


SOUND: Tensors = {"a.in_sum2": ((3,), (1, 2, 4)), "a.counts": ((1,), (2,))}

GGUF_FAULTS: dict[str, tuple[Tensors, str]] = {
    "no-counts": ({"a.in_sum2": ((3,), (1, 2, 4))}, "in_sum2: there without a.counts"),
    "no-sums": ({"a.counts": ((1,), (2,))}, "a.counts: there without a.in_sum2"),
    "counts": ({**SOUND, "a.counts": ((2,), (2, 2))}, "divide 3 sums"),
    "half": ({**SOUND, "a.counts": ((1,), (0.5,))}, "found 0.5, expected whole"),
    "negative": ({**SOUND, "a.counts": ((1,), (-1,))}, "found -1.0, expected whole"),
    "nan": ({**SOUND, "a.counts": ((1,), (np.nan,))}, "found nan, expected whole"),
    "nothing": ({}, "there are no entries"),
}


@pytest.mark.parametrize(("tensors", "what"), GGUF_FAULTS.values(), ids=GGUF_FAULTS)
def test_sums_and_counts_that_do_not_fit_are_refused(
    tensors: Tensors, what: str, tmp_path: Path
) -> None:
    assert opened(written(tmp_path, SOUND), REGISTRY).entries

    with pytest.raises(CorruptFileError, match=what):
        opened(written(tmp_path, tensors), REGISTRY)


@pytest.mark.parametrize("missing", range(4))
def test_every_key_is_needed(missing: int, tmp_path: Path) -> None:
    keys = KEYS[:missing] + KEYS[missing + 1 :]

    with pytest.raises(AprhubError, match=KEYS[missing][0].decode()):
        opened(written(tmp_path, SOUND, keys), REGISTRY)


def test_a_tensor_that_means_nothing_here_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, {**SOUND, "a.in_sum4": ((3,), (1, 2, 4))})

    (note,) = opened(path, REGISTRY).notes
    assert note.startswith("a.in_sum4: neither")


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, SOUND)
    whole = path.read_bytes()
    # The last tensor has 4 bytes, and 28 after it that fill up the alignment.
    for length in range(4, len(whole) - 28):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError):
            opened(path, REGISTRY)
