"""Places to write to that are full, missing, strange or the input itself."""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.hostile import apr_file, gguf_file, model_folder
from tests.hostile.case import Writable
from tests.hostile.program import Outcome, command, run
from tests.hostile.trial import OLD

SOURCES: Final[dict[str, Writable]] = {
    "out.gguf": apr_file.valid(),
    "out.apr": gguf_file.valid(),
    "out": gguf_file.valid(),
    "out.safetensors": gguf_file.valid(),
}
SMALL: Final = 40 * 1024


def _snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        str(each.relative_to(folder)): each.read_bytes() if each.is_file() else None
        for each in sorted(folder.rglob("*"))
    }


def _refused(outcome: Outcome) -> None:
    assert outcome.escaped is None, outcome.escaped
    assert outcome.code in (2, 3), outcome.output
    assert outcome.stderr.strip()
    assert "Traceback" not in outcome.output


@contextmanager
def _file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("size", [0, 1, 63, 512, 4096, SMALL, 78 * 1024])
def test_a_file_that_may_not_grow_leaves_nothing(
    workplace: Path, name: str, size: int
) -> None:
    source = SOURCES[name].write(workplace)
    target = workplace / "target"
    target.mkdir()

    with _file_size_limit(size):
        outcome = run("convert", source, target / name)

    _refused(outcome)
    assert _snapshot(target) == {}


@pytest.mark.parametrize("size", [0, 4096, SMALL])
def test_a_file_that_may_not_grow_keeps_what_stood_there(
    workplace: Path, size: int
) -> None:
    source = gguf_file.valid().write(workplace)
    target = workplace / "target"
    target.mkdir()
    (target / "out.apr").write_bytes(OLD)

    with _file_size_limit(size):
        outcome = run("convert", source, target / "out.apr", "--force")

    _refused(outcome)
    assert _snapshot(target) == {"out.apr": OLD}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for half a tiny model; a limit stands in where none may be."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={SMALL}", "none", str(folder)]
    if not _mounted(options):
        with _file_size_limit(SMALL):
            yield folder
        return
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _mounted(options: list[str]) -> bool:
    tool = shutil.which("mount")
    if tool is None or os.geteuid() != 0:
        return False
    return subprocess.run([tool, *options], capture_output=True).returncode == 0


@pytest.mark.parametrize("name", SOURCES)
def test_a_full_disk_is_an_error_that_leaves_nothing(
    workplace: Path, small_disk: Path, name: str
) -> None:
    source = SOURCES[name].write(workplace)

    outcome = run("convert", source, small_disk / name)

    _refused(outcome)
    assert _snapshot(small_disk) == {}


def test_a_full_disk_keeps_what_stood_there(workplace: Path, small_disk: Path) -> None:
    source = gguf_file.valid().write(workplace)
    (small_disk / "out.apr").write_bytes(OLD)

    outcome = run("convert", source, small_disk / "out.apr", "--force")

    _refused(outcome)
    assert _snapshot(small_disk) == {"out.apr": OLD}


@pytest.mark.parametrize("folder", ["missing", "a-file", "a-file/below", "/proc"])
@pytest.mark.parametrize("name", SOURCES)
def test_a_folder_that_cannot_be_written_is_refused(
    workplace: Path, folder: str, name: str
) -> None:
    source = SOURCES[name].write(workplace)
    (workplace / "a-file").write_bytes(OLD)
    before = _snapshot(workplace)

    outcome = run("convert", source, workplace / folder / name)

    _refused(outcome)
    assert _snapshot(workplace) == before


@pytest.mark.parametrize("name", ["out.apr", "out.gguf", "out.safetensors"])
def test_a_folder_in_the_place_of_a_file_is_kept(workplace: Path, name: str) -> None:
    source = SOURCES[name].write(workplace)
    (workplace / name).mkdir()
    (workplace / name / "notes.txt").write_bytes(OLD)
    before = _snapshot(workplace)

    outcome = run("convert", source, workplace / name, "--force")

    _refused(outcome)
    assert _snapshot(workplace) == before


def test_a_file_in_the_place_of_a_folder_is_kept_or_replaced_as_asked(
    workplace: Path,
) -> None:
    source = gguf_file.valid().write(workplace)
    (workplace / "out").write_bytes(OLD)

    outcome = run("convert", source, workplace / "out", "--to", "safetensors")

    _refused(outcome)
    assert (workplace / "out").read_bytes() == OLD


def test_a_broken_input_leaves_a_folder_that_stands_there(workplace: Path) -> None:
    source = gguf_file.valid().write(workplace)
    os.truncate(source, source.stat().st_size - 1)
    target = workplace / "out"
    model_folder.valid().with_file("notes.txt", OLD).write(workplace).rename(target)
    before = _snapshot(target)

    outcome = run("convert", source, target, "--force")

    _refused(outcome)
    assert _snapshot(target) == before


def test_files_of_others_in_a_target_folder_are_kept(workplace: Path) -> None:
    source = gguf_file.valid().write(workplace)
    target = workplace / "out"
    model_folder.valid().with_file("notes.txt", OLD).write(workplace).rename(target)

    run("convert", source, target, "--force")

    assert (target / "notes.txt").read_bytes() == OLD


def _same(source: Path) -> Path:
    return source


def _symlinked(source: Path) -> Path:
    link = source.with_name(f"link{source.suffix}")
    link.symlink_to(source.name)
    return link


def _hard_linked(source: Path) -> Path:
    link = source.with_name(f"link{source.suffix}")
    link.hardlink_to(source)
    return link


def _roundabout(source: Path) -> Path:
    return source.parent / "target" / ".." / source.name


@pytest.mark.parametrize("other", [_same, _symlinked, _hard_linked, _roundabout])
@pytest.mark.parametrize("file", [gguf_file.valid(), apr_file.valid()], ids=["g", "a"])
def test_an_output_that_is_the_input_is_refused_or_safe(
    workplace: Path, other: Callable[[Path], Path], file: Writable
) -> None:
    (workplace / "target").mkdir()
    source = file.write(workplace)
    before = source.read_bytes()

    outcome = run("convert", source, other(source), "--force")

    assert outcome.escaped is None
    assert outcome.code == 0 or source.read_bytes() == before
    assert run("inspect", source).code == 0


def test_a_folder_converted_onto_itself_is_refused_or_safe(workplace: Path) -> None:
    source = model_folder.sharded().write(workplace)
    before = _snapshot(source)

    outcome = run("convert", source, source, "--force")

    assert outcome.escaped is None
    assert outcome.code == 0 or _snapshot(source) == before
    assert run("inspect", source).code == 0


def test_a_weights_file_is_not_overwritten_by_its_own_conversion(
    workplace: Path,
) -> None:
    source = model_folder.valid().write(workplace)
    weights = source / model_folder.WEIGHTS
    before = weights.read_bytes()

    outcome = run("convert", source, weights, "--force")

    assert outcome.escaped is None
    assert outcome.code == 0 or weights.read_bytes() == before
    assert run("inspect", source).code == 0


def test_a_fifo_in_the_place_of_the_output_does_not_hang(workplace: Path) -> None:
    source = gguf_file.valid().write(workplace)
    os.mkfifo(workplace / "out.apr")

    _refused(run("convert", source, workplace / "out.apr"))


def test_an_existing_file_is_kept_unless_it_may_be_replaced(workplace: Path) -> None:
    source = gguf_file.valid().write(workplace)
    target = workplace / "out.apr"
    target.write_bytes(OLD)

    outcome = run("convert", source, target)

    assert outcome.code == 2
    assert target.read_bytes() == OLD
    assert run("convert", source, target, "--force").code == 0


@pytest.mark.parametrize("name", SOURCES)
def test_a_private_umask_makes_private_files(workplace: Path, name: str) -> None:
    source = SOURCES[name].write(workplace)
    line = command(["convert", source, workplace / name])

    done = subprocess.run(line, umask=0o077, capture_output=True)

    assert done.returncode == 0, done.stderr
    written = [workplace / name, *(workplace / name).glob("**/*")]
    assert [each for each in written if each.stat().st_mode & 0o077] == []


def test_a_source_from_1970_is_converted(workplace: Path) -> None:
    source = gguf_file.valid().write(workplace)
    os.utime(source, (0, 0))

    assert run("convert", source, workplace / "out.apr").code == 0
