"""An output has its outline before its data, so that it can be judged meanwhile."""

import errno
import os
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aprhub.api import (
    ENCODINGS,
    Bytes,
    Crc32,
    EnvironmentFailureError,
    Layout,
    LayoutFile,
    Literal,
    Padding,
    Tensor,
    TensorData,
)
from aprhub.errors import PluginError
from aprhub.export.commit import Writing
from aprhub.export.output import PIECE_BYTES
from aprhub.export.staging import staged
from tests.unit.export import layouts

DATA = b"0123456789"


@contextmanager
def writing(target: Path) -> Iterator[tuple[Writing, Path]]:
    """Give the writing of a small file, and where it is written."""
    data, table = layouts.tensor_data(DATA), Literal(b"table")
    parts = (Literal(b"head"), data, Padding(3), table, Crc32())
    layout = Layout((layouts.file_of(*parts, name=target.name),))
    with staged(target, is_folder=False) as staging, Writing(layout, staging) as found:
        yield found, staging.path(target.name)


def test_an_outline_is_the_whole_file_but_for_tensors_and_checksums(
    tmp_path: Path,
) -> None:
    with writing(tmp_path / "m.bin") as (found, path):
        found.outline()

        assert path.read_bytes() == b"head" + bytes(10 + 3) + b"table" + bytes(4)


@pytest.mark.parametrize("steps", [("outline", "fill"), ("fill", "outline")])
def test_what_is_filled_and_outlined_is_complete_when_it_has_settled(
    steps: tuple[str, str], tmp_path: Path
) -> None:
    with writing(tmp_path / "m.bin") as (found, path):
        for step in steps:
            getattr(found, step)()
        found.settle()

        whole = b"head" + DATA + bytes(3) + b"table"
        assert path.read_bytes() == whole + zlib.crc32(whole).to_bytes(4, "little")


def test_a_file_without_tensors_is_complete_when_it_was_outlined_last(
    tmp_path: Path,
) -> None:
    layout = Layout((layouts.file_of(Literal(b"head"), Crc32(), name="m"),))
    with (
        staged(tmp_path / "m", is_folder=False) as staging,
        Writing(layout, staging) as found,
    ):
        found.fill()
        found.outline()
        found.settle()

        whole = b"head" + zlib.crc32(b"head").to_bytes(4, "little")
        assert staging.path("m").read_bytes() == whole


def test_what_is_spelled_out_late_is_spelled_out_while_tensors_are_read(
    tmp_path: Path,
) -> None:
    slow, seen = _Slow(PIECE_BYTES), []

    def spelled() -> bytes:
        slow.begun.acquire()
        seen.append(slow.done_count)
        return b"head"

    data = TensorData("slow", Tensor((slow.nbytes,), ENCODINGS["u8"], slow))
    layout = Layout((layouts.file_of(Literal(spelled, 4), data, name="m"),))
    with (
        staged(tmp_path / "m", is_folder=False) as staging,
        Writing(layout, staging) as found,
    ):
        found.fill()
        found.outline()
        found.settle()

        assert seen == [0]
        assert staging.path("m").read_bytes()[:4] == b"head"


def test_a_file_of_text_is_made_when_tensors_are_on_their_way(tmp_path: Path) -> None:
    asked: list[str] = []

    def spelled() -> bytes:
        asked.append("text")
        return b"text"

    weights = layouts.file_of(layouts.tensor_data(DATA), name="weights")
    text = LayoutFile("text", (Literal(spelled),))
    layout = Layout((weights, text), folder=True)
    with (
        staged(tmp_path / "m", is_folder=True) as staging,
        Writing(layout, staging) as found,
    ):
        found.fill()
        assert asked == []
        found.outline()
        found.settle()

        assert staging.path("weights").read_bytes() == DATA
        assert staging.path("text").read_bytes() == b"text"


def test_a_literal_of_another_length_than_announced_is_the_plugins_fault(
    tmp_path: Path,
) -> None:
    parts = (Literal(b"head"), Literal(lambda: b"tab", 5))
    layout = Layout((layouts.file_of(*parts, name="m"),))
    with (
        pytest.raises(PluginError, match="3 bytes were spelled out for byte 4, 5"),
        staged(tmp_path / "m", is_folder=False) as staging,
        Writing(layout, staging) as found,
    ):
        found.outline()

    assert list(tmp_path.iterdir()) == []


class _Slow:
    """A source that takes its time, and counts what was begun and what was done."""

    granule = 1

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.begun = threading.Semaphore(0)
        self.begun_count = self.done_count = 0

    def read_into(self, start: int, out: Bytes) -> None:
        self.begun_count += 1
        self.begun.release()
        time.sleep(0.1)
        self.done_count += 1

    def segments(self) -> None:
        return None


def test_a_writing_that_is_left_early_stops_after_the_piece_at_hand(
    tmp_path: Path,
) -> None:
    slow = _Slow(9 * PIECE_BYTES)
    data = TensorData("slow", Tensor((slow.nbytes,), ENCODINGS["u8"], slow))
    layout = Layout((layouts.file_of(data, name="m"),))

    with (
        staged(tmp_path / "m", is_folder=False) as staging,
        Writing(layout, staging) as found,
    ):
        found.outline()
        found.fill(workers=1)
        slow.begun.acquire()

    assert slow.begun_count == slow.done_count < 9
    assert list(tmp_path.iterdir()) == []


def refuse_space(monkeypatch: pytest.MonkeyPatch, reason: int) -> None:
    """Let the system refuse to take space for a file."""

    def refuse(*_details: int) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)


def test_a_disk_without_the_space_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_space(monkeypatch, errno.ENOSPC)
    with writing(tmp_path / "m.bin") as (found, path):
        with pytest.raises(EnvironmentFailureError, match="No space left"):
            found.fill()

        assert not any(path.read_bytes())


@pytest.mark.parametrize("reason", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_takes_no_space_ahead_is_written_all_the_same(
    reason: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_space(monkeypatch, reason)
    with writing(tmp_path / "m.bin") as (found, path):
        found.fill()
        found.outline()
        found.settle()

        assert path.read_bytes()[4:14] == DATA


def test_an_outline_alone_takes_no_space_for_its_tensors(tmp_path: Path) -> None:
    layout = Layout((layouts.file_of(Literal(b"head"), Padding(1 << 26), name="m"),))
    with (
        staged(tmp_path / "m", is_folder=False) as staging,
        Writing(layout, staging) as found,
    ):
        found.outline()

        made = staging.path("m").stat()
        assert made.st_size == (1 << 26) + 4
        assert made.st_blocks * 512 < 1 << 20


def test_a_file_that_is_there_is_not_written(tmp_path: Path) -> None:
    with writing(tmp_path / "m.bin") as (found, path):
        path.write_bytes(b"mine")

        with pytest.raises(EnvironmentFailureError, match="File exists"):
            found.outline()

        assert path.read_bytes() == b"mine"


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit of open files")
def test_a_model_may_have_more_shards_than_a_process_may_open_files(
    tmp_path: Path,
) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(list(Path("/dev/fd").iterdir()))
    parts = (layouts.tensor_data(DATA), Crc32())
    files = [layouts.file_of(*parts, name=f"{number}.bin") for number in range(80)]

    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 40, limits[1]))
    try:
        made = layouts.write(tmp_path / "0.bin", *files)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert {data[:-4] for data in made.values()} == {DATA}


def test_a_name_that_cannot_be_a_file_is_a_typed_error(tmp_path: Path) -> None:
    layout = Layout((layouts.file_of(Literal(b"head"), name="x" * 300),))
    with (
        pytest.raises(EnvironmentFailureError, match="File name too long"),
        staged(tmp_path / "m", is_folder=False) as staging,
        Writing(layout, staging) as found,
    ):
        found.outline()

    assert list(tmp_path.iterdir()) == []
