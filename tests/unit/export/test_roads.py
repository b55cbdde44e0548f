"""Every road brings the same bytes, and a road that fails is not taken again."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aprhub.api import Bytes, FileRange
from aprhub.export.roads import TRIALS, Chooser, Road, in_kernel, through_memory

PIECE = 1 << 12


@pytest.fixture
def output(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "out.bin", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def _copy(chooser: Chooser, noise: Path, output: int, times: int) -> bytes:
    room = np.empty(PIECE, np.uint8)
    for index in range(times):
        chooser.copy(FileRange(noise, index, 1000), output, 1000 * index, room)
    return os.pread(output, 1000 * times, 0)


def _expected(noise: Path, times: int) -> bytes:
    data = noise.read_bytes()
    return b"".join(data[index : index + 1000] for index in range(times))


@pytest.mark.parametrize("road", [through_memory, in_kernel])
def test_every_road_brings_the_same_bytes(noise: Path, output: int, road: Road) -> None:
    assert _copy(Chooser([road]), noise, output, 3) == _expected(noise, 3)


def test_each_road_is_tried_before_one_is_chosen(noise: Path, output: int) -> None:
    taken: list[str] = []

    def slow(extent: FileRange, descriptor: int, offset: int, room: Bytes) -> None:
        taken.append("slow")
        for _ in range(50):
            through_memory(extent, descriptor, offset, room)

    def fast(extent: FileRange, descriptor: int, offset: int, room: Bytes) -> None:
        taken.append("fast")
        through_memory(extent, descriptor, offset, room)

    _copy(Chooser([slow, fast]), noise, output, 2 * TRIALS + 9)

    assert taken.count("slow") == TRIALS
    assert taken[-9:] == ["fast"] * 9


def test_a_road_that_the_system_does_not_have_is_left_for_good(
    noise: Path, output: int
) -> None:
    taken: list[int] = []

    def missing(_extent: FileRange, _file: int, offset: int, _room: Bytes) -> None:
        taken.append(offset)
        raise OSError("not supported")

    found = _copy(Chooser([missing, through_memory]), noise, output, 12)

    assert found == _expected(noise, 12)
    assert len(taken) == 1


def test_a_failure_of_the_last_road_comes_out(noise: Path, output: int) -> None:
    absent = FileRange(noise.with_name("absent"), 0, 10)

    with pytest.raises(FileNotFoundError):
        Chooser().copy(absent, output, 0, np.empty(PIECE, np.uint8))
