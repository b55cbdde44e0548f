"""The command line. Turns errors into one message and an exit code.

Exit codes: 0 done, 1 a check said no, 2 wrong usage, 3 bad input or environment.
Commands import the hub when they run, so that `--help` and `--version` are quick.
"""

import gc
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

from aprhub.cli.options import printable
from aprhub.errors import (
    AprhubError,
    near_miss,
)
from aprhub.version import VERSION

# Each command and the module of aprhub.cli that defines it, read when it is asked for;
# and the name that it has there, if that is another one.
COMMANDS = {
    "adapter": "adapter",
    "bench": "run",
    "check": "check",
    "codecs": "plugins",
    "contracts": "contracts",
    "convert": "convert",
    "corpus": "corpus",
    "diff": "diff",
    "doctor": "doctor",
    "eval": "score:score",
    "explain": "explanation",
    "explain-merge": "explain",
    "families": "plugins",
    "finetune": "finetune",
    "formats": "plugins",
    "hash": "hash:hash_file",
    "imatrix": "imatrix",
    "inspect": "inspect",
    "manifest": "sign",
    "merge": "merge",
    "methods": "plugins",
    "plugins": "plugins",
    "pretrain": "pretrain",
    "provenance": "provenance",
    "qa": "qa",
    "quantize": "convert",
    "run": "run",
    "sign": "sign",
    "stamp": "stamp",
    "tensors": "tensors",
    "validate": "validate",
    "verify": "verify",
}


def subcommands(group: click.Group) -> dict[str, click.Command]:
    """Return the commands of a group by name; imports the modules that define them."""
    context = click.Context(group)
    found = (
        (name, group.get_command(context, name))
        for name in group.list_commands(context)
    )
    return {name: command for name, command in found if command is not None}


class _Group(click.Group):
    """A group whose commands fail with one message instead of a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands without importing one."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        home, _, name = COMMANDS[cmd_name].partition(":")
        module = import_module(f"aprhub.cli.{home}")
        command: click.Command = getattr(module, name or cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names; suggest one if none is."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            ctx.fail(f"no such command: {name!r}{near_miss(name, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run a command; a termination signal unwinds, so that nothing is left."""
        words = sys.argv[1:] if args is None else list(args)
        debug = "--debug" in words
        with _signals_unwind(), _tuned_interpreter():
            try:
                return super().main(words, *rest, **extra)
            except AprhubError as error:
                _fail(error, error.exit_code, debug=debug)
            except OSError as error:
                _fail(error, AprhubError.exit_code, debug=debug)
            # A defect of aprhub or of a plugin: say so, without a page of frames.
            except Exception as error:
                what = f"internal error: {type(error).__name__}: {error}"
                what += "; report it, with what --debug shows"
                _fail(error, AprhubError.exit_code, debug=debug, text=what)


@contextmanager
def _tuned_interpreter() -> Iterator[None]:
    """Set the interpreter up for a program that copies files and ends soon."""
    collecting, interval = gc.isenabled(), sys.getswitchinterval()
    # A vocabulary is a million objects without a cycle: looking through them again
    # and again doubled the time to parse one.
    gc.disable()
    # Threads that copy need the interpreter for microseconds at a time; they waited
    # for milliseconds whenever the main thread computed.
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        if collecting:
            gc.enable()


def _fail(error: Exception, code: int, *, debug: bool, text: str = "") -> NoReturn:
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True)
    notes = [f"  {note}" for note in getattr(error, "__notes__", ())]
    lines = [f"aprhub: error: {text or error}", *notes]
    shown = map(printable, "\n".join(lines).split("\n"))
    click.echo("\n".join(shown), err=True)
    sys.exit(code)


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """Let signals that end the process unwind the stack.

    A signal that is ignored stays so: `nohup` does that.
    """
    before: dict[int, Any] = {}
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = (getattr(signal, name, None) for name in names)
    try:
        # Only the main thread may; in others the host owns the signals.
        with suppress(ValueError):
            for number in filter(None, numbers):
                if _is_heeded(number):
                    before[number] = signal.signal(number, _terminate)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_heeded(number: int) -> bool:
    return signal.getsignal(number) is not signal.SIG_IGN


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


EXIT_CODES = (
    "Exit codes: 0 done, 1 a check said no, 2 wrong usage, 3 bad input or environment."
)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog=EXIT_CODES,
)
@click.version_option(VERSION, prog_name="aprhub")
def main() -> None:
    """Convert language-model files, and prove each conversion.

    Formats, naming conventions, architectures and codecs come from plugins; see
    'aprhub plugins'.
    """
