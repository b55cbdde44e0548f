"""What is shown while a model is trained, and what a signal does."""

import gc
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from aprhub.cli.training import interruption, shown
from aprhub.course import Course
from aprhub.errors import UsageError
from aprhub.runs import Interrupted
from tests.unit.cli.program import refused

STEP = {"loss": 5.0, "tokens_per_second": 1234.0, "utilisation": 0.45}
LINES = [
    "step 0/2  validation loss 7.6000",
    "step 2/2  validation loss 4.6000  loss 5.0000  1234 tokens/s  MFU 45.0%",
]


def show(*, silent: bool) -> None:
    with shown(Course(num_steps=2), silent=silent) as watch:
        watch({"step": 0, "val_loss": 7.6})
        watch({"step": 1, **STEP})
        watch({"step": 2, **STEP})
        watch({"step": 2, "val_loss": 4.6})


def test_measurements_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show(silent=False)

    found = capsys.readouterr()
    assert found.out.splitlines() == LINES
    assert found.err == ""


def test_nothing_is_shown_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    show(silent=True)

    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar_beside_the_same_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    show(silent=False)

    found = capsys.readouterr()
    assert found.out.splitlines() == LINES
    assert "2/2" in found.err
    assert "loss 5.0000  1234 tokens/s  MFU 45.0%" in found.err


def test_a_signal_is_a_reason_to_end_once_the_training_asks() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruption() as caught:
        assert caught.reason() is None
        signal.raise_signal(signal.SIGTERM)
        assert caught.reason() == "interrupted by SIGTERM"
        # The next one would end the process.
        assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_before_the_first_step_ends_the_process_as_ever() -> None:
    def ended(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, ended)
    try:
        with pytest.raises(SystemExit, match="143"), interruption():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_garbage_is_collected_while_a_model_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def run(*_words: object, **_more: object) -> NoReturn:
        seen.append(gc.isenabled())
        raise UsageError("that is enough")

    assert "that is enough" in fails(run, tmp_path, monkeypatch)
    assert seen == [True]


def test_a_signal_does_not_take_the_place_of_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LateError(UsageError):
        def __str__(self) -> str:
            signal.raise_signal(signal.SIGTERM)
            return "another process is lost"

    def run(*_words: object, interrupted: Interrupted, **_more: object) -> NoReturn:
        interrupted()
        raise LateError

    before = signal.getsignal(signal.SIGTERM)
    assert "another process is lost" in fails(run, tmp_path, monkeypatch)
    assert signal.getsignal(signal.SIGTERM) is before


def fails(
    run: Callable[..., NoReturn], place: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Let this be how a model is trained, and return what `pretrain` complains of."""
    monkeypatch.setattr("aprhub.runs.pretrain", run)
    start = ("--dataset", place, "--init", place)
    return refused(2, "pretrain", *start, "--run-dir", place / "run")
