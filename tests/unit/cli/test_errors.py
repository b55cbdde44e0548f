"""Errors: one message and an exit code; the traceback only where it is asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

import aprhub
from tests.third_party.distributions import fake
from tests.unit.cli.program import refused, run, succeed


def test_the_version_is_told() -> None:
    assert succeed("--version").out == f"aprhub, version {aprhub.__version__}\n"


@pytest.mark.parametrize("words", [["nonsense"], ["convert"], ["inspect", "a", "b"]])
def test_wrong_usage_is_two(words: list[str]) -> None:
    done = run(*words)

    assert done.code == 2
    assert done.err.startswith("Usage: ")


MISSPELT = {
    "did you mean 'convert'?": ("convret", "{}", "out.apr"),
    "did you mean 'gguf'?": ("inspect", "{}", "--from", "ggfu"),
    "did you mean 'llama'?": ("inspect", "{}", "--family", "lama"),
    "did you mean '.gguf'?": ("convert", "{}", "out.guf"),
    "did you mean 'q4_k_m'?": ("convert", "{}", "out.gguf", "--quantize", "q4-k-m"),
    "did you mean 'cat'?": (
        *("adapter", "merge", "{}", "adapter", "-o", "out.gguf"),
        *("--mode", "cta"),
    ),
    "did you mean 'blk.0.attn_q.weight'?": (
        *("convert", "{}", "out.gguf", "--quantize", "q8_0"),
        *("--tensor-type", "blk.0.atn_q.weight=q6_k"),
    ),
    "did you mean 'q6_k'?": (
        *("convert", "{}", "out.gguf", "--quantize", "q8_0"),
        *("--tensor-type", "output.weight=q6-k"),
    ),
    "did you mean 'json'?": ("stamp", "{}", "-o", "out.gguf", "--set", "a:jsn=1"),
    "did you mean 'general.architecture'?": (
        *("stamp", "{}", "-o", "out.gguf", "--unset", "general.architectur"),
    ),
    "did you mean 'slerp'?": ("merge", "--method", "slrep", "{}", "{}", "-o", "out"),
}


@pytest.mark.parametrize("guess", MISSPELT)
def test_a_name_that_nobody_knows_is_answered_with_the_nearest(
    guess: str, gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = run(*(word.format(gguf) for word in MISSPELT[guess]))

    assert done.code == 2
    assert guess in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["inspect", "tensors", "convert", "diff"])
def test_a_damaged_file_is_three(gguf: Path, tmp_path: Path, command: str) -> None:
    damaged = tmp_path / "cut.gguf"
    damaged.write_bytes(gguf.read_bytes()[:-1000])
    others = {"convert": [tmp_path / "out.apr"], "diff": [gguf]}

    complaint = refused(3, command, damaged, *others.get(command, []))

    assert f"{damaged}: " in complaint
    assert len(complaint.splitlines()) == 1


def test_debug_shows_the_traceback_and_then_the_message(tmp_path: Path) -> None:
    done = run("convert", tmp_path / "absent", tmp_path / "out", "--debug")

    assert done.code == 3
    assert done.err.startswith("Traceback (most recent call last):")
    assert "MissingFileError" in done.err
    assert done.err.splitlines()[-1].startswith("aprhub: error: ")


def test_a_path_that_the_system_refuses_is_three(tmp_path: Path) -> None:
    complaint = refused(3, "inspect", tmp_path / ("x" * 300))

    assert "File name too long" in complaint


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
    fake(tmp_path, "odd", BROKEN, "odd")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "m.odd").write_text("")
    return tmp_path / "m.odd"


def test_a_defect_is_one_line_that_names_it(odd: Path) -> None:
    complaint = refused(3, "inspect", odd)

    said = "internal error: ZeroDivisionError: a defect; report it, with what --debug"
    assert complaint == f"aprhub: error: {said} shows\n"


def test_a_defect_shows_its_place_when_debugging(odd: Path) -> None:
    done = run("inspect", odd, "--debug")

    assert 'fake_odd.py", line 5, in opened' in done.err


def test_the_program_runs_as_a_module(gguf: Path) -> None:
    line = [sys.executable, "-W", "error", "-m", "aprhub", "inspect", str(gguf)]

    done = subprocess.run(line, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{gguf}: gguf, llama\n")


def test_a_reader_that_stops_early_is_no_error(gguf: Path) -> None:
    line = f"{sys.executable} -m aprhub tensors {gguf} --json | head -n 1"

    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)

    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr
