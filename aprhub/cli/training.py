"""What is shown of a training, and what a signal does to it."""

import gc
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from attrs import define, frozen

from aprhub.cli.options import echo_json, registry

if TYPE_CHECKING:
    from rich.progress import Progress

    from aprhub.course import Course
    from aprhub.pretraining.options import TrainingOptions
    from aprhub.pretraining.outcome import Outcome
    from aprhub.registry import Registry

Watch = Callable[[Mapping[str, Any]], None]


@frozen
class Session:
    """How a command trains: with which plugins, and what it prints."""

    plugins: "Registry"
    quiet: bool
    verbose: bool
    as_json: bool

    @classmethod
    def of(cls, options: dict[str, Any]) -> "Session":
        """Take what says so out of the options of a command."""
        options.pop("debug")
        plugins = registry(strict=options.pop("strict_plugins"))
        names = ("quiet", "verbose", "as_json")
        return cls(plugins, *(options.pop(name) for name in names))

    def train(self, run: Callable[..., "Outcome"], wanted: "TrainingOptions") -> None:
        """Run one of the trainings of `aprhub.runs`, and print what it comes to.

        Of several processes, the first prints. Where a signal ended it, that ends the
        process too.
        """
        from aprhub.place import Place

        is_first = Place.found().is_first
        silent = self.quiet or self.as_json or not is_first
        with (
            garbage_collected(),
            interruption() as caught,
            shown(wanted.course, silent=silent, verbose=self.verbose) as watch,
        ):
            found = run(
                wanted,
                registry=self.plugins,
                watch=watch,
                interrupted=caught.reason,
                begins=_unsaid if silent else _echo_sizes,
            )
        if self.as_json and is_first:
            echo_json(found.as_json())
        elif not silent:
            _echo(found)
        if caught.number is not None:
            raise SystemExit(128 + caught.number)


@contextmanager
def garbage_collected() -> Iterator[None]:
    """Collect garbage meanwhile, which other commands leave to the process's end.

    A run may last for days, and each step on sharded weights leaves cycles behind.
    """
    was_enabled = gc.isenabled()
    gc.enable()
    try:
        yield
    finally:
        if not was_enabled:
            gc.disable()


def _unsaid(_event: Mapping[str, Any]) -> None:
    """Print nothing."""


def _echo_sizes(sizes: Mapping[str, Any]) -> None:
    click.echo(" ".join(f"{name}={value}" for name, value in sizes.items()))


def _echo(found: "Outcome") -> None:
    """Print what a run came to."""
    for note in found.notes:
        click.echo(f"note: {note}")
    loss = "not measured" if found.val_loss is None else f"{found.val_loss:.4f}"
    click.echo(
        f"{found.reason}: {found.step} steps, {found.tokens} tokens,"
        f" validation loss {loss}"
    )
    click.echo(f"checkpoint: {found.checkpoint}")
    if found.best not in (None, found.checkpoint):
        click.echo(f"best: {found.best}")
    if found.output is not None:
        click.echo(f"output: {found.output}")


@define
class Interruption:
    """Which signal came while a model was trained.

    Until the training asks for a reason to end, signals end the process as ever.
    """

    number: int | None = None
    is_asked: bool = False

    def reason(self) -> str | None:
        """Return why the training is to end."""
        self.is_asked = True
        if self.number is None:
            return None
        return f"interrupted by {signal.Signals(self.number).name}"


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Let the first signal that ends the process end the training first.

    A second one ends it at once. Where an error passes through, it stays so: torchrun
    sends its signal when another process is lost, and the error is still to be told.
    """
    caught, before = Interruption(), dict[int, Any]()

    def catch(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, before[number])
        if caught.is_asked:
            caught.number = number
        else:
            signal.raise_signal(number)

    with suppress(ValueError):  # Only the main thread has signals.
        for number in map(int, (signal.SIGINT, signal.SIGTERM)):
            before[number] = signal.getsignal(number)
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, catch)
    yield caught
    for number, handler in before.items():
        signal.signal(number, handler)


@contextmanager
def shown(course: "Course", *, silent: bool, verbose: bool = False) -> Iterator[Watch]:
    """Give what prints each measurement, and on a terminal how far a training is.

    With `verbose` it prints each step instead of that.
    """
    if silent:
        yield _unsaid
    elif verbose or not sys.stderr.isatty():
        yield _Lines(course, verbose=verbose)
    else:
        with _bar(course, _Lines(course)) as watch:
            yield watch


class _Lines:
    """Prints a line for each measurement, and for each step if that is wanted."""

    def __init__(self, course: "Course", *, verbose: bool = False) -> None:
        self._course = course
        self._verbose = verbose
        self._last: Mapping[str, Any] = {}

    def __call__(self, event: Mapping[str, Any]) -> None:
        line = f"step {event['step']}/{self._course.num_steps}"
        if "val_loss" not in event:
            self._last = event
            if self._verbose:
                click.echo(f"{line}  {_loss(event)}")
            return
        line += f"  validation loss {event['val_loss']:.4f}"
        click.echo(f"{line}  {_loss(self._last)}" if self._last else line)


def _loss(event: Mapping[str, Any]) -> str:
    return f"loss {event['loss']:.4f}  {_speed(event)}"


def _speed(event: Mapping[str, Any]) -> str:
    text = f"{event['tokens_per_second']:.0f} tokens/s"
    share = event["utilisation"]
    return text if share is None else f"{text}  MFU {share:.1%}"


@contextmanager
def _bar(course: "Course", lines: Watch) -> Iterator[Watch]:
    """Give what advances a bar on the terminal, which goes while a line is printed."""
    progress = _progress()
    task = progress.add_task("", total=course.num_steps, told="")

    def watch(event: Mapping[str, Any]) -> None:
        if "loss" in event:
            progress.update(task, completed=event["step"], told=_loss(event))
            lines(event)
        else:
            progress.stop()
            lines(event)
            progress.start()

    try:
        yield watch
    finally:
        progress.stop()


def _progress() -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    told = TextColumn("{task.fields[told]}")
    columns = (BarColumn(), MofNCompleteColumn(), told, TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, redirect_stdout=False)
