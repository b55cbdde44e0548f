"""A layout becomes exactly its bytes, whatever the number of workers."""

import errno
import os
import shutil
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aprhub.api import (
    ENCODINGS,
    Crc32,
    EnvironmentFailureError,
    Literal,
    Padding,
    Tensor,
    TensorData,
)
from aprhub.errors import PluginError
from aprhub.export.output import PIECE_BYTES
from aprhub.spec.layout import Segment
from tests.unit.export import layouts

LARGE = 3 * PIECE_BYTES + 12_345


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.bin"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(np.random.default_rng(5).bytes(LARGE))
    return path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_is_its_segments_in_order_with_the_checksums_of_zlib(
    noise: Path, target: Path, data: st.DataObject
) -> None:
    parts = data.draw(layouts.segments(noise))

    found = layouts.write(target, layouts.file_of(*parts))

    assert found["model.bin"] == layouts.expected(parts)


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_any_number_of_workers_writes_the_same_bytes(
    large: Path, target: Path, workers: int
) -> None:
    whole = TensorData("whole", Tensor.at(large, 0, (LARGE,), ENCODINGS["u8"]))
    wide = Tensor.at(large, 1, (LARGE // 4, 2), ENCODINGS["f16"]).cast(ENCODINGS["f32"])
    parts: list[Segment] = [
        Literal(b"head"),
        whole,
        Padding(7),
        TensorData("wide", wide),
        Crc32(),
    ]

    with np.errstate(invalid="ignore"):
        found = layouts.write(target, layouts.file_of(*parts), workers=workers)

        assert found["model.bin"] == layouts.expected(parts)


@pytest.mark.parametrize("checked", [True, False])
def test_large_ranges_of_files_are_copied_whole(
    large: Path, target: Path, checked: bool
) -> None:
    parts: list[Segment] = [layouts.in_file(large, 5, LARGE - 9), *[Crc32()] * checked]

    found = layouts.write(target, layouts.file_of(*parts))

    assert found["model.bin"][: LARGE - 9] == large.read_bytes()[5:-4]


def test_a_checksum_may_stand_before_what_it_covers(target: Path) -> None:
    data = b"0123456789" * 9
    crc = Crc32(start=8, stop=8 + len(data))
    parts: list[Segment] = [
        Literal(b"head"),
        crc,
        layouts.tensor_data(data),
        crc,
        Literal(b"end"),
    ]

    found = layouts.write(target, layouts.file_of(*parts))["model.bin"]

    digest = zlib.crc32(data).to_bytes(4, "little")
    assert found == b"head" + digest + data + digest + b"end"


@pytest.mark.parametrize(
    "crc",
    [
        Crc32(start=0, stop=5),
        Crc32(start=1, stop=4),
        Crc32(start=0, stop=8),
        Crc32(start=4, stop=12),
        Crc32(start=4, stop=0),
        Crc32(start=0, stop=4000),
        Crc32(start=8, stop=16),
    ],
)
def test_a_checksum_over_parts_of_segments_or_unknown_checksums_is_refused(
    target: Path, crc: Crc32
) -> None:
    parts: list[Segment] = [
        Literal(b"head"),
        crc,
        Literal(b"four"),
        Crc32(),
        Literal(b"end"),
    ]

    with pytest.raises(PluginError, match="must be whole segments"):
        layouts.write(target, layouts.file_of(*parts))

    assert list(target.parent.iterdir()) == []


def test_a_checksum_over_zeros_alone_is_that_of_zeros(target: Path) -> None:
    found = layouts.write(target, layouts.file_of(Padding(33), Crc32()))

    assert found["model.bin"][33:] == zlib.crc32(bytes(33)).to_bytes(4, "little")


def test_empty_segments_and_files_are_no_trouble(target: Path) -> None:
    empty = layouts.tensor_data(b"")

    found = layouts.write(
        target,
        layouts.file_of(Literal(b""), empty, Padding(0), name="empty.bin"),
        layouts.file_of(empty, Crc32(), name="crc.bin"),
    )

    assert found == {"empty.bin": b"", "crc.bin": bytes(4)}


def test_progress_adds_up_to_the_whole_size(noise: Path, target: Path) -> None:
    parts: list[Segment] = [
        Literal(b"head"),
        layouts.in_file(noise, 0, 500),
        Padding(9),
        Crc32(),
    ]
    file = layouts.file_of(*parts)
    told: list[int] = []

    layouts.write(target, file, progress=told.append)

    assert sum(told) == file.nbytes == target.stat().st_size


class _Failing:
    """A source that fails at one place, as a broken disk or an impatient user would."""

    granule = 1

    def __init__(self, nbytes: int, error: BaseException) -> None:
        self.nbytes = nbytes
        self.error = error

    def read_into(self, start: int, out: object) -> None:
        if start:
            raise self.error

    def segments(self) -> None:
        return None


def _failing(error: BaseException) -> TensorData:
    size = 2 * PIECE_BYTES
    tensor = Tensor.of(np.zeros(1, np.uint8))
    source = _Failing(size, error)
    return TensorData("broken", evolve(tensor, shape=(size,), source=source))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no"), SystemExit()])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_failure_while_reading_comes_out_and_leaves_nothing(
    target: Path, error: BaseException, workers: int
) -> None:
    parts: list[Segment] = [layouts.tensor_data(b"x" * 9), _failing(error)]

    before = threading.active_count()

    with pytest.raises(type(error)):
        layouts.write(target, layouts.file_of(*parts), workers=workers)

    assert list(target.parent.iterdir()) == []
    assert threading.active_count() == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_failing_disk_is_a_typed_error_that_says_so(target: Path, code: int) -> None:
    error = OSError(code, os.strerror(code))

    with pytest.raises(EnvironmentFailureError, match=os.strerror(code)) as failure:
        layouts.write(target, layouts.file_of(_failing(error)))

    assert "nothing was put in place" in str(failure.value)
    assert list(target.parent.iterdir()) == []


def test_a_layout_larger_than_the_disk_is_refused_before_anything_is_written(
    target: Path,
) -> None:
    size = shutil.disk_usage(target.parent).total + 1

    with pytest.raises(EnvironmentFailureError, match=f"needs {size} bytes"):
        layouts.write(target, layouts.file_of(Padding(size)))

    assert list(target.parent.iterdir()) == []


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond a megabyte, as on a disk that is full."""
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
def test_a_real_disk_that_takes_no_more_is_a_typed_error(target: Path) -> None:
    parts: list[Segment] = [Literal(b"head"), Padding(2 << 20)]

    with pytest.raises(EnvironmentFailureError, match="File too large"):
        layouts.write(target, layouts.file_of(*parts))

    assert list(target.parent.iterdir()) == []
