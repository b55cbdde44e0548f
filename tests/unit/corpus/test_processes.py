"""Preparing that is stopped in the middle, done twice at once, or too large."""

import resource
import signal
import subprocess
import sys
import time
from itertools import count, islice
from pathlib import Path

import pytest

from aprhub import Registry, save_model
from aprhub.testing.models import PICOS
from tests.hostile.program import command, measure, run, start

MIB = 2**20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.gguf"
    registry = Registry.load()
    save_model(PICOS["llama"].model(registry), path, registry=registry)
    return path


def written(path: Path, size: int) -> Path:
    """Write a text of some MiB."""
    lines = (f"line {n:8} of a text that goes on and on\n\n" for n in count())
    path.write_text("".join(islice(lines, size * MIB // 45)), "utf-8")
    return path


def words(text: Path, model: Path, cache: Path) -> list[str | Path]:
    return ["corpus", text, "--tokenizer", model, "--seq-len", "32", "--cache", cache]


def whole(cache: Path) -> list[Path]:
    """Return what would be taken for a corpus."""
    return [*cache.glob("[!.]*")]


def under_way(cache: Path) -> bool:
    """Whether ids were written to a file that is not yet in place."""
    return any(path.stat().st_size for path in cache.glob(".*/*/train.bin"))


def hold_at_work(process: "subprocess.Popen[bytes]", cache: Path) -> None:
    """Stop a process in the middle: it goes on when it is told to."""
    while not under_way(cache):
        assert process.poll() is None, "done before it could be stopped"
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)
    assert under_way(cache), "done before it could be stopped"


def waits_for_a_lock(process: "subprocess.Popen[bytes]") -> bool:
    locks = Path("/proc/locks").read_text("utf-8").splitlines()
    return any({"->", str(process.pid)} <= {*line.split()} for line in locks)


def test_what_is_killed_in_the_middle_leaves_nothing_that_is_taken_for_whole(
    tmp_path: Path, model: Path
) -> None:
    text, cache = written(tmp_path / "text.txt", 2), tmp_path / "cache"
    process = start(*words(text, model, cache))
    hold_at_work(process, cache)

    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    assert whole(cache) == []
    assert len([*cache.glob(".*.aprhub-partial")]) == 1
    # The next run removes what is left, and makes the corpus.
    assert run(*words(text, model, cache)).code == 0
    assert len(whole(cache)) == 1
    assert [*cache.glob(".*.aprhub-partial")] == []


def test_two_at_once_make_one_corpus(tmp_path: Path, model: Path) -> None:
    text, cache = written(tmp_path / "text.txt", 2), tmp_path / "cache"
    first = start(*words(text, model, cache))
    hold_at_work(first, cache)
    second = start(*words(text, model, cache))
    try:
        while not waits_for_a_lock(second):
            assert second.poll() is None, "made without waiting for the other"
            time.sleep(0.01)
        makers = [*cache.glob(".*.aprhub-partial")]
    finally:
        first.send_signal(signal.SIGCONT)

    assert [process.wait() for process in (first, second)] == [0, 0]

    assert len(makers) == 1
    (folder,) = whole(cache)
    size = (folder / "train.bin").stat().st_size
    assert size + (folder / "validation.bin").stat().st_size > 2 * MIB


def test_a_larger_text_takes_no_more_memory(tmp_path: Path, model: Path) -> None:
    cache = tmp_path / "cache"
    peaks = []
    for size in (4, 16):
        text = written(tmp_path / f"{size}.txt", size)
        done = measure(*words(text, model, cache), seconds=60)
        assert done.outcome.code == 0, done.outcome.output
        peaks.append(done.peak)

    assert peaks[1] - peaks[0] < 12 * MIB


def test_a_full_disk_is_an_error_that_says_so_and_leaves_nothing(
    tmp_path: Path, model: Path
) -> None:
    text, cache = written(tmp_path / "text.txt", 1), tmp_path / "cache"

    def little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))

    done = subprocess.run(
        command(words(text, model, cache)),
        preexec_fn=little_room,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert "texts could not be tokenised into it: [Errno 27]" in done.stderr
    assert whole(cache) == [*cache.glob(".*.aprhub-partial")] == []


def test_without_its_library_a_kind_of_data_is_refused_with_the_repair(
    tmp_path: Path,
) -> None:
    (tmp_path / "some.parquet").write_bytes(b"PAR1")
    program = """
import sys
from pathlib import Path
sys.modules.update(dict.fromkeys(("pyarrow", "jinja2")))
from aprhub.corpus import ChatOptions, CorpusOptions, prepared, prepared_chats
from aprhub.errors import EnvironmentFailureError
from tests.unit.corpus.texts import PICO
folder = Path(sys.argv[1])
for call, options in ((prepared, CorpusOptions), (prepared_chats, ChatOptions)):
    path = folder / ("some.parquet" if call is prepared else "some.jsonl")
    path.write_text("{}")
    try:
        call([path], PICO, options(8, cache=folder / "cache"))
    except EnvironmentFailureError as error:
        print(error)
"""

    line = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [
        "Parquet files need pyarrow: pip install 'aprhub[train]'",
        "chat templates need jinja2: pip install 'aprhub[train]'",
    ]
