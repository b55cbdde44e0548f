"""A process that copies does what threads do, and what it cannot is done here."""

import errno
import io
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

import aprhub
from aprhub.api import (
    CorruptFileError,
    Crc32,
    FileRange,
    Layout,
    Literal,
    Padding,
    StoredChecksum,
)
from aprhub.export import copying
from aprhub.export.commit import Writing
from aprhub.export.copier import DONE, WINDOW, Job, Worker
from aprhub.export.copying import Copier
from aprhub.export.output import PIECE_BYTES
from aprhub.export.sink import Sink, room
from aprhub.export.staging import staged
from aprhub.export.witness import Witness
from tests.judges import deep
from tests.unit.export import layouts

SIZE = 3 * PIECE_BYTES + 77
DATA = np.random.default_rng(5).integers(0, 256, SIZE, np.uint8).tobytes()


@pytest.fixture
def copier() -> Iterator[Copier]:
    made = Copier.started(3)
    assert made is not None
    yield made
    made.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").write_bytes(DATA)
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").write_bytes(bytes(2 * SIZE))
    return tmp_path / "target"


def job(number: int, paths: tuple[Path, Path], *span: int, summed: bool = True) -> Job:
    start, offset, nbytes = span
    source, target = map(os.fsencode, paths)
    return number, start, offset, nbytes, summed, source, target


def test_parts_of_files_arrive_with_their_checksums(
    copier: Copier, source: Path, target: Path
) -> None:
    spans = [(0, 3, 5000), (5000, 8192, PIECE_BYTES), (9, 4_000_000, PIECE_BYTES + 9)]
    files = (source, target)
    jobs = [job(number, files, *span) for number, span in enumerate(spans)]
    expected = bytearray(2 * SIZE)
    for start, offset, nbytes in spans:
        expected[offset : offset + nbytes] = DATA[start : start + nbytes]

    found = dict(copier.results(jobs))

    assert target.read_bytes() == bytes(expected)
    assert found == {
        number: zlib.crc32(DATA[start : start + nbytes])
        for number, (start, _, nbytes) in enumerate(spans)
    }


def test_the_first_jobs_are_done_while_nobody_looks(
    copier: Copier, source: Path, target: Path
) -> None:
    results = copier.results([job(0, (source, target), 0, 0, 5000)])

    limit = time.monotonic() + 20
    while target.read_bytes()[:5000] != DATA[:5000]:
        assert time.monotonic() < limit
        time.sleep(0.01)
    assert dict(results) == {0: zlib.crc32(DATA[:5000])}


def test_a_checksum_that_nobody_wants_is_not_taken(
    copier: Copier, source: Path, target: Path
) -> None:
    plain = job(7, (source, target), 0, 0, 100, summed=False)

    assert list(copier.results([plain])) == [(7, 0)]


def test_there_may_be_more_jobs_than_are_sent_at_once(
    copier: Copier, source: Path, target: Path
) -> None:
    count = 3 * WINDOW + 5
    jobs = (job(n, (source, target), n, 2 * n, 1) for n in range(count))

    assert len(dict(copier.results(jobs))) == count
    assert target.read_bytes()[: 2 * count : 2] == DATA[:count]


def test_however_many_threads_wait_for_more_it_comes_to_an_end(
    source: Path, target: Path
) -> None:
    count = 3 * WINDOW
    copier = Copier.started(WINDOW // 2)
    assert copier is not None
    jobs = (job(n, (source, target), n, n, 1) for n in range(count))

    assert len(dict(copier.results(jobs))) == count
    copier.close()


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_what_was_lost_with_a_failure_is_not_told_as_done(
    batch: int, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bytes] = []
    flush = Sink.flush

    def failing(sink: Sink) -> None:
        flush(sink)
        if len(told) == 1:
            raise OSError(errno.ENOSPC, "the disk is full")

    monkeypatch.setattr(Sink, "flush", failing)
    monkeypatch.setattr(os, "write", lambda _file, data: told.append(data))
    jobs = [job(n, (source, target), n, n, 5) for n in range(5)]
    Worker(room(PIECE_BYTES), batch).work(iter(jobs))

    done = [done for data in told for _, done, _ in DONE.iter_unpack(data)]
    assert len(done) == 5
    assert done.count(False) == min(batch, 5)


def test_what_could_not_be_done_is_told(
    copier: Copier, source: Path, target: Path, tmp_path: Path
) -> None:
    jobs = [
        job(0, (source, target), SIZE - 10, 0, 20),
        job(1, (tmp_path / "missing", target), 0, 0, 20),
        job(2, (source, tmp_path / "missing"), 0, 0, 20),
        job(3, (source, target), 0, 0, 20),
    ]

    found = dict(copier.results(jobs))

    assert found == {0: None, 1: None, 2: None, 3: zlib.crc32(DATA[:20])}


def test_nothing_is_done_by_a_process_that_has_died(
    copier: Copier, source: Path, target: Path
) -> None:
    copier.process.kill()
    copier.process.wait()
    jobs = (job(n, (source, target), 0, 0, 1) for n in range(2 * WINDOW))

    assert set(dict(copier.results(jobs)).values()) == {None}


@contextmanager
def _spoken_for(copier: Copier) -> Iterator[tuple[Copier, Callable[[bytes], object]]]:
    """Give a copier to which nobody listens, and what says what it is said to say."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        yield (
            evolve(copier, jobs=io.BytesIO(), reports=stream),
            partial(os.write, writing),
        )
    os.close(writing)


def _anything(number: int) -> Job:
    return number, 0, 0, 1, True, b"", b""


def test_a_report_may_come_in_parts(copier: Copier) -> None:
    reports = b"".join(DONE.pack(number, True, 7 * number) for number in range(3))
    with _spoken_for(copier) as (silent, say):
        heard = silent.results(map(_anything, range(3)))
        say(reports[:20])
        found = [next(heard)]
        say(reports[20:])

        assert [*found, *heard] == [(0, 0), (1, 7), (2, 14)]


def test_only_so_many_jobs_are_with_it_at_once(copier: Copier) -> None:
    numbers = iter(range(9 * WINDOW))
    with _spoken_for(copier) as (silent, say):
        heard = silent.results(map(_anything, numbers))
        for number in range(3):
            say(DONE.pack(number, True, 0))
            assert next(heard) == (number, 0)

        assert next(numbers) == WINDOW + 2


def test_without_an_interpreter_to_start_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for executable in ("", str(tmp_path / "missing")):
        monkeypatch.setattr(sys, "executable", executable)
        assert Copier.started() is None


def test_it_ends_with_its_parent() -> None:
    script = (
        "import os, signal; from aprhub.export.copying import Copier\n"
        "print(Copier.started().process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    limit = time.monotonic() + 20

    while _is_running(int(done.stdout)):
        assert time.monotonic() < limit
        time.sleep(0.05)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # In a container nobody may reap what has lost its parent.
    stat = Path(f"/proc/{process}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def _layout(source: Path) -> Layout:
    """Return one file with everything in it that a piece may be beside."""
    parts = (
        Literal(b"head"),
        layouts.in_file(source, 5, PIECE_BYTES + 4321),
        Padding(3),
        layouts.tensor_data(b"values"),
        Crc32(),
        layouts.in_file(source, 1, 2 * PIECE_BYTES),
        Crc32(),
    )
    return Layout((layouts.file_of(*parts, name="m"),))


def _write(layout: Layout, target: Path, copier: Copier) -> list[int]:
    """Write a layout, and return how many bytes were told of."""
    told: list[int] = []
    with (
        staged(target, is_folder=False) as staging,
        Writing(layout, staging, copier=copier) as writing,
    ):
        writing.fill(told.append)
        writing.outline()
        writing.settle()
        staging.publish([target.name], ())
    return told


def test_a_layout_is_written_with_it_as_without(source: Path, copier: Copier) -> None:
    layout, target = _layout(source), source.parent / "m"

    told = _write(layout, target, copier)

    assert target.read_bytes() == layouts.expected(layout.files[0].segments)
    assert sum(told) == layout.nbytes
    assert copier.process.poll() is not None


@pytest.mark.parametrize("crc", [zlib.crc32(DATA), 1])
def test_what_it_copies_is_compared_with_the_checksum_of_the_source(
    source: Path, copier: Copier, crc: int
) -> None:
    checksum = StoredChecksum(FileRange(source, 0, SIZE), crc, "footer")
    whole = layouts.file_of(layouts.in_file(source, 9, SIZE - 9), name="m")
    layout = Layout((whole,))
    witness = Witness.of([checksum], layout)
    with (
        staged(source.parent / "m", is_folder=False) as staging,
        Writing(layout, staging, copier=copier) as writing,
    ):
        writing.fill(witness=witness)
        writing.outline()
        witness.read_rest()
        writing.settle()

    assert bool(witness.faults()) is (crc == 1)


def test_a_source_that_became_shorter_is_the_same_error(
    source: Path, copier: Copier
) -> None:
    layout = _layout(source)
    os.truncate(source, PIECE_BYTES)

    with pytest.raises(CorruptFileError, match="it was longer when it was opened"):
        _write(layout, source.parent / "m", copier)

    assert [path.name for path in source.parent.iterdir()] == ["source"]
    assert copier.process.poll() is not None


def test_a_process_that_dies_meanwhile_costs_nothing(
    source: Path, copier: Copier
) -> None:
    copier.process.kill()
    layout, target = _layout(source), source.parent / "m"

    _write(layout, target, copier)

    assert target.read_bytes() == layouts.expected(layout.files[0].segments)


@pytest.mark.parametrize("name", ["m.apr", "m.gguf", "folder"])
def test_a_conversion_gives_the_same_bytes_with_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "MUCH", 0)
    started: list[Copier] = []
    start = Copier.started

    def spy(workers: int) -> Copier | None:
        made = start(workers)
        started.extend([made] if made else [])
        return made

    monkeypatch.setattr(Copier, "started", spy)
    source = deep.deep("grouped")
    outputs = []
    for apart in (False, True):
        target = tmp_path / str(apart) / name
        target.parent.mkdir()
        aprhub.convert(source, target, aprhub.ConvertOptions(apart=apart))
        files = target.iterdir() if target.is_dir() else [target]
        outputs.append({file.name: file.read_bytes() for file in files})

    assert outputs[0] == outputs[1]
    assert [each.process.poll() is not None for each in started] == [True]


@pytest.mark.parametrize(
    "options",
    [
        aprhub.ConvertOptions(apart=True, resume=True),
        aprhub.ConvertOptions(apart=True, dry_run=True),
        aprhub.ConvertOptions(apart=True, dtype="bf16"),
        aprhub.ConvertOptions(),
    ],
)
def test_what_copies_nothing_or_is_to_be_resumed_does_without(
    options: aprhub.ConvertOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "MUCH", 0)
    monkeypatch.setattr(Copier, "started", _refused)

    aprhub.convert(deep.deep("grouped"), tmp_path / "m.apr", options)


def _refused(_workers: int) -> Copier:
    raise OSError(errno.EPERM, "no process is to be started")
