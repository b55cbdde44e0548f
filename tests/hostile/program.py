"""aprhub's command line, run in this process or in one of its own, and measured."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from attrs import frozen
from click.testing import CliRunner

from aprhub.cli import main
from aprhub.registry import Registry

SECONDS: Final = 10.0
_PLUGINS: Final = Registry.load(strict=True)
_LAUNCHER: Final = Path(__file__).with_name("launcher.py")


class OverrunError(BaseException):
    """A command did not come to an end in time; not caught by `except Exception`."""


@frozen
class Outcome:
    """What a command did: exit code, texts, and the exception that got out of it."""

    code: int
    stdout: str
    stderr: str
    escaped: BaseException | None = None

    @property
    def output(self) -> str:
        """Both texts."""
        return self.stdout + self.stderr


@frozen
class Measured:
    """What a command did in a process of its own, and what that took.

    `peak` is the largest resident size in bytes, `seconds` the wall time. A process
    that was ended by a signal has its negative number for a code.
    """

    outcome: Outcome
    peak: int
    seconds: float


@contextmanager
def deadline(seconds: float = SECONDS) -> Iterator[None]:
    """Raise OverrunError in the main thread when the body takes longer."""

    def overrun(_number: int, _frame: FrameType | None) -> None:
        raise OverrunError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, overrun)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(*arguments: str | Path) -> Outcome:
    """Run a command in this process, with plugins that are loaded once for all."""
    words = [str(each) for each in arguments]
    with deadline():
        result = CliRunner().invoke(main, words, obj=_PLUGINS)
    escaped = None if isinstance(result.exception, SystemExit) else result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr, escaped)


def start(*arguments: str | Path) -> "subprocess.Popen[bytes]":
    """Start a command in a process of its own, its texts dropped."""
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command(arguments), stdout=quiet, stderr=quiet)


def command(arguments: Sequence[str | Path]) -> list[str]:
    """Return the command line that runs aprhub with these arguments."""
    return [sys.executable, "-m", "aprhub", *(str(each) for each in arguments)]


def measure(*arguments: str | Path, seconds: float = SECONDS) -> Measured:
    """Run a command in a process of its own and measure it.

    A small process stands between: the peak of a child counts from the size that its
    parent had when the child was made.
    """
    line = [sys.executable, "-S", str(_LAUNCHER), str(seconds), *command(arguments)]
    done = subprocess.run(line, capture_output=True, check=True, timeout=seconds + 5)
    report = json.loads(done.stdout)
    outcome = Outcome(report["code"], report["stdout"], report["stderr"])
    return Measured(outcome, report["peak"], report["seconds"])
