"""Nothing stands under the target's name until all of it is there."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aprhub.errors import EnvironmentFailureError, TargetExistsError
from aprhub.export.staging import (
    LOCK,
    REPLACED,
    SUFFIX,
    refuse_existing,
    staged,
)

OWNED = ("config.json", "*.safetensors")


def _fill(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def _texts(folder: Path) -> dict[str, str]:
    files = (each for each in folder.rglob("*") if each.is_file())
    return {str(each.relative_to(folder)): each.read_text() for each in files}


def _write_folder(target: Path, **files: str) -> None:
    with staged(target, is_folder=True) as staging:
        _fill(staging.opened, **files)
        staging.publish([], OWNED)


def _write_files(target: Path, *names: str, publish: list[str]) -> None:
    with staged(target, is_folder=False) as staging:
        for name in names:
            staging.path(name).write_text(f"new {name}")
        staging.publish(publish, ())


def _fail_half_written(target: Path) -> None:
    with staged(target, is_folder=False) as staging:
        staging.path(target.name).write_text("half")
        raise ZeroDivisionError


def _lose_what_was_written(target: Path) -> None:
    """Publish a folder that is gone when the old one is already aside."""
    with staged(target, is_folder=True) as staging:
        shutil.rmtree(staging.opened)
        staging.publish([], ["*"])


def test_runs_that_begin_at_one_moment_leave_each_other_alone(tmp_path: Path) -> None:
    target = tmp_path / "model.apr"

    def write(number: int) -> None:
        with staged(target, is_folder=False) as staging:
            staging.path(target.name).write_bytes(bytes([number]) * 64)
            staging.publish([target.name], [])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(250)))

    assert list(tmp_path.iterdir()) == [target]
    assert len({*target.read_bytes()}) == 1


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        _fail_half_written(tmp_path / "model.bin")

    assert list(tmp_path.iterdir()) == []


def test_a_signal_just_when_the_folder_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Path.mkdir

    def interrupted(path: Path, *words: Any, **more: Any) -> None:
        made(path, *words, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)

    with (
        pytest.raises(KeyboardInterrupt),
        staged(tmp_path / "model.bin", is_folder=False),
    ):
        pytest.fail("a folder was given")

    assert list(tmp_path.iterdir()) == []


def test_files_are_published_together_and_the_last_name_last(tmp_path: Path) -> None:
    names = ["a-1.bin", "a-2.bin", "a.bin"]

    with staged(tmp_path / "a.bin", is_folder=False) as staging:
        for name in names:
            staging.path(name).write_text(name)
        assert _visible(tmp_path) == []
        staging.publish(names, ())

    assert _texts(tmp_path) == {name: name for name in names}


def _visible(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir() if not each.name.startswith(".")]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_text("old")

    with staged(tmp_path / "m.bin", is_folder=False) as staging:
        staging.path("m.bin").write_text("new")
        assert (tmp_path / "m.bin").read_text() == "old"
        staging.publish(["m.bin"], ())

    assert _texts(tmp_path) == {"m.bin": "new"}


def test_files_put_in_place_are_taken_back_when_a_later_one_fails(
    tmp_path: Path,
) -> None:
    _fill(tmp_path, **{"1__bin": "old 1", "2__bin": "old 2"})
    names = ["0.bin", "1.bin", "2.bin"]

    with pytest.raises(EnvironmentFailureError, match="could not put the output"):
        _write_files(tmp_path / "2.bin", "0.bin", "1.bin", publish=names)

    assert _texts(tmp_path) == {"1.bin": "old 1", "2.bin": "old 2"}


def test_a_folder_in_the_place_of_a_file_is_not_replaced(tmp_path: Path) -> None:
    _fill(tmp_path / "m.bin", precious="text")

    with pytest.raises(EnvironmentFailureError):
        _write_files(tmp_path / "m.bin", "m.bin", publish=["m.bin"])

    assert _texts(tmp_path) == {"m.bin/precious": "text"}


def test_a_folder_is_replaced_but_for_files_that_are_no_models(tmp_path: Path) -> None:
    target = _fill(
        tmp_path / "model", config__json="old", b__safetensors="old", notes__md="mine"
    )
    _fill(target / ".git", HEAD="ref")
    (target / "link").symlink_to("notes.md")

    _write_folder(target, config__json="new", a__safetensors="new")

    assert _texts(target) == {
        "config.json": "new",
        "a.safetensors": "new",
        "notes.md": "mine",
        "link": "mine",
        ".git/HEAD": "ref",
    }
    assert (target / "link").is_symlink()
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_a_new_file_beats_a_foreign_one_of_its_name(tmp_path: Path) -> None:
    target = _fill(tmp_path / "model", extra__txt="old")

    _write_folder(target, extra__txt="new")

    assert _texts(target) == {"extra.txt": "new"}


def test_a_failure_in_mid_exchange_leaves_the_old_folder(tmp_path: Path) -> None:
    target = _fill(tmp_path / "model", config__json="old", notes__md="mine")

    with pytest.raises(EnvironmentFailureError, match="could not put the output"):
        _lose_what_was_written(target)

    assert _texts(tmp_path) == {"model/config.json": "old", "model/notes.md": "mine"}


def test_an_existing_target_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_text("old")

    with pytest.raises(TargetExistsError, match="exists already; use --force"):
        refuse_existing(tmp_path / "x.bin", ["m.bin"], is_folder=False)


def test_a_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "m.bin").symlink_to("nowhere")

    with pytest.raises(TargetExistsError):
        refuse_existing(tmp_path / "m.bin", ["m.bin"], is_folder=False)


def test_an_empty_folder_is_no_obstacle_but_a_full_one_or_a_file_is(
    tmp_path: Path,
) -> None:
    (tmp_path / "empty").mkdir()
    _fill(tmp_path / "full", a="a")
    (tmp_path / "file").write_text("")

    refuse_existing(tmp_path / "empty", [], is_folder=True)
    refuse_existing(tmp_path / "absent", [], is_folder=True)
    for name in ("full", "file"):
        with pytest.raises(TargetExistsError):
            refuse_existing(tmp_path / name, [], is_folder=True)


def test_a_folder_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    with (
        pytest.raises(EnvironmentFailureError, match="cannot write there"),
        staged(tmp_path / "absent" / "m.bin", is_folder=False),
    ):
        pass


def _abandoned(target: Path, **replaced: str) -> Path:
    """Leave what a process that was killed leaves: a staging folder, not locked."""
    folder = target.parent / f".{target.name}.abc123{SUFFIX}"
    _fill(folder / target.name, half="written")
    (folder / LOCK).touch()
    if replaced:
        _fill(folder / REPLACED, **replaced)
    return folder


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "model"
    left = _abandoned(target)

    _write_folder(target, config__json="new")

    assert not left.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_was_aside_when_a_process_was_killed_is_restored(
    tmp_path: Path,
) -> None:
    target = tmp_path / "model"
    _abandoned(target, config__json="old", notes__md="mine")

    with staged(target, is_folder=True):
        assert _texts(target) == {"config.json": "old", "notes.md": "mine"}

    assert _texts(target) == {"config.json": "old", "notes.md": "mine"}


def test_what_was_left_of_another_target_is_left_alone(tmp_path: Path) -> None:
    other = _abandoned(tmp_path / "model.v2", config__json="of the other")

    with staged(tmp_path / "model", is_folder=True):
        pass

    assert (other / REPLACED / "config.json").read_text() == "of the other"
    assert not (tmp_path / "model").exists()


def test_names_with_special_characters_are_names(tmp_path: Path) -> None:
    target = tmp_path / "mo[d]el*.bin"
    left = _abandoned(target)

    with staged(target, is_folder=False):
        assert not left.exists()


HOLD = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from aprhub.export.staging import staged
with staged(Path(sys.argv[1]), is_folder=False) as staging:
    staging.path("m.bin").write_text("of the other process")
    print(staging.folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_living_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "m.bin"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    ) as other:
        assert other.stdout
        folder = Path(other.stdout.readline().strip())

        with staged(target, is_folder=False) as staging:
            staging.path("m.bin").write_text("mine")
            staging.publish(["m.bin"], ())

        assert (folder / "m.bin").read_text() == "of the other process"
    assert _texts(tmp_path) == {"m.bin": "mine"}
