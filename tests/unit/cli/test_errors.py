"""Errors: one message and an exit code; the traceback only where it is asked for."""

import os
import stat
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import aprhub
from tests.unit.cli.program import refused, run, succeed

COMMANDS = [["inspect"], ["tensors"], ["convert", "OTHER"], ["diff", "OTHER"]]


def test_the_version_is_told() -> None:
    assert succeed("--version").out == f"aprhub, version {aprhub.__version__}\n"


@pytest.mark.parametrize("words", [["nonsense"], ["convert"], ["inspect", "a", "b"]])
def test_wrong_usage_is_two(words: list[str]) -> None:
    done = run(*words)

    assert done.code == 2
    assert done.err.startswith("Usage: ")


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_damaged_file_is_three(gguf: Path, tmp_path: Path, words: list[str]) -> None:
    damaged = tmp_path / "cut.gguf"
    damaged.write_bytes(gguf.read_bytes()[:-1000])
    command, *rest = [str(tmp_path / each) if each.isupper() else each for each in words]

    complaint = refused(3, command, damaged, *rest)

    assert f"{damaged}: " in complaint
    assert len(complaint.splitlines()) == 1


@pytest.mark.parametrize("place", ["--debug", "convert"])
def test_debug_shows_the_traceback_and_then_the_message(
    tmp_path: Path, place: str
) -> None:
    words = ["convert", tmp_path / "absent", tmp_path / "out", "--debug"]

    done = run(*words)

    assert done.code == 3
    assert done.err.startswith("Traceback (most recent call last):")
    assert "MissingFileError" in done.err
    assert done.err.splitlines()[-1].startswith("aprhub: error: ")


def test_a_folder_that_may_not_be_read_is_three(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "secret").mkdir(mode=0)

    complaint = refused(3, "inspect", tmp_path / "secret")

    assert "Permission denied" in complaint
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0


BROKEN = """
from aprhub.api import Format, hookimpl

def opened(path):
    raise ZeroDivisionError("a defect")

@hookimpl
def provide_formats():
    return [Format("odd", "Odd", (".odd",), open=opened)]
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file of a format whose plugin has a defect."""
    (tmp_path / "odd_plugin.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint("odd", "odd_plugin", "aprhub")
    monkeypatch.setattr("aprhub.registry.entry_points", lambda group: [entry])
    (tmp_path / "m.odd").write_text("")
    return tmp_path / "m.odd"


def test_a_defect_is_one_line_that_names_it(odd: Path) -> None:
    complaint = refused(3, "inspect", odd)

    assert complaint == "aprhub: error: internal error: ZeroDivisionError: a defect\n"


def test_a_defect_shows_its_place_when_debugging(odd: Path) -> None:
    done = run("inspect", odd, "--debug")

    assert 'odd_plugin.py", line 5, in opened' in done.err


def test_the_program_runs_as_a_module(gguf: Path) -> None:
    line = [sys.executable, "-W", "error", "-m", "aprhub", "inspect", str(gguf)]

    done = subprocess.run(line, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{gguf}: gguf, llama\n")


def test_a_reader_that_stops_early_is_no_error(gguf: Path) -> None:
    line = f"{sys.executable} -m aprhub tensors {gguf} --json | head -n 1"

    done = subprocess.run(
        line, shell=True, capture_output=True, text=True, check=False
    )

    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr
