"""Any bytes at any offset arrive, past the page cache or not."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aprhub.export.sink import BLOCK, LEAST, MOST, Sink, placed, room

SIZE = LEAST + 8 * BLOCK
DATA = np.random.default_rng(11).integers(0, 256, SIZE, np.uint8)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    """Give a file as this machine opens it."""
    (tmp_path / "out.bin").touch()
    made = Sink.open(tmp_path / "out.bin")
    yield made
    made.close()


@pytest.fixture
def two_ways(sink: Sink, tmp_path: Path) -> Iterator[Sink]:
    """Give a file with a second descriptor, whether this machine has the direct way."""
    direct = os.open(tmp_path / "out.bin", os.O_RDWR)
    yield Sink(sink.descriptor, direct)
    os.close(direct)


def _piece(offset: int, length: int) -> memoryview:
    piece = placed(room(length), length, offset)
    piece[:] = DATA[:length].tobytes()
    return piece


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.tuples(st.integers(0, SIZE), st.integers(1, SIZE), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
def test_the_file_is_what_was_written_last(
    sink: Sink, pieces: list[tuple[int, int, bool]]
) -> None:
    os.truncate(sink.descriptor, 0)
    os.truncate(sink.descriptor, 2 * SIZE)
    expected = bytearray(2 * SIZE)

    for offset, length, in_place in pieces:
        if in_place:
            sink.write_placed(_piece(offset, length), offset)
            sink.flush()
        else:
            sink.write(DATA[:length].tobytes(), offset)
        expected[offset : offset + length] = DATA[:length].tobytes()

    assert os.pread(sink.descriptor, 2 * SIZE, 0) == bytes(expected)


@pytest.fixture
def written(
    two_ways: Sink, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[bool, int, int]]:
    """Give what will be written: whether directly, where to, and how many bytes."""
    found: list[tuple[bool, int, int]] = []
    write = os.pwrite

    def spy(descriptor: int, data: memoryview, offset: int) -> int:
        found.append((descriptor == two_ways.direct, offset, len(data)))
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", spy)
    return found


def test_whole_blocks_go_past_the_cache_and_the_rest_through_it_later(
    two_ways: Sink, written: list[tuple[bool, int, int]]
) -> None:
    two_ways.write_placed(_piece(BLOCK - 10, LEAST + 15), BLOCK - 10)
    two_ways.write_placed(_piece(0, LEAST - 1), 0)

    assert written == [(True, BLOCK, LEAST)]
    two_ways.flush()
    assert written[1:] == [
        (False, BLOCK - 10, 10),
        (False, BLOCK + LEAST, 5),
        (False, 0, LEAST - 1),
    ]
    two_ways.flush()
    assert len(written) == 4


def test_what_could_not_be_written_goes_on_waiting(
    two_ways: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite

    def full(_descriptor: int, _data: memoryview, offset: int) -> int:
        if offset:
            raise OSError(errno.ENOSPC, "the disk is full")
        return write(two_ways.descriptor, _data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    for number in range(3):
        two_ways.write_placed(_piece(number * BLOCK, BLOCK), number * BLOCK)
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is full"):
            two_ways.flush()

    monkeypatch.setattr(os, "pwrite", write)
    two_ways.flush()

    expected = DATA[:BLOCK].tobytes() * 3
    assert os.pread(two_ways.descriptor, SIZE, 0) == expected


def test_what_waits_has_a_limit(
    two_ways: Sink, written: list[tuple[bool, int, int]]
) -> None:
    for number in range(MOST // BLOCK - 1):
        two_ways.write_placed(_piece(0, BLOCK), number * BLOCK)
    assert not written

    two_ways.write_placed(_piece(0, BLOCK), 0)

    assert len(written) == MOST // BLOCK


def test_bytes_that_lie_anywhere_go_through_the_cache(
    two_ways: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse_direct(two_ways, monkeypatch, errno.EIO)

    two_ways.write(DATA[: 3 * BLOCK].tobytes(), 0)

    assert os.pread(two_ways.descriptor, SIZE, 0) == DATA[: 3 * BLOCK].tobytes()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_that_refuses_direct_writes_gets_others(
    two_ways: Sink, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    _refuse_direct(two_ways, monkeypatch, code)

    two_ways.write_placed(_piece(0, SIZE), 0)
    two_ways.flush()

    assert os.pread(two_ways.descriptor, SIZE, 0) == DATA.tobytes()


def test_a_failed_direct_write_is_not_hidden(
    two_ways: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse_direct(two_ways, monkeypatch, errno.ENOSPC)

    with pytest.raises(OSError, match="refused"):
        two_ways.write_placed(_piece(0, SIZE), 0)


def test_a_file_system_without_direct_writes_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def without_direct(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "refused")
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", without_direct)
    (tmp_path / "out.bin").touch()
    sink = Sink.open(tmp_path / "out.bin")
    sink.write_placed(_piece(7, SIZE), 7)
    sink.close()

    assert sink.direct is None
    assert (tmp_path / "out.bin").read_bytes() == bytes(7) + DATA.tobytes()


def _refuse_direct(sink: Sink, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    write = os.pwrite

    def refuse(descriptor: int, data: memoryview, offset: int) -> int:
        if descriptor == sink.direct:
            raise OSError(code, "refused")
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", refuse)
