"""Options that say how a model is trained, and what is shown while it is."""

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import define

if TYPE_CHECKING:
    from rich.progress import Progress

    from aprhub.course import Course

F = TypeVar("F", bound=Callable[..., Any])
Watch = Callable[[Mapping[str, Any]], None]

_POSITIVE = click.IntRange(min=1)
_COUNT = click.IntRange(min=0)
_RATE = click.FloatRange(0, min_open=True)

_OPTIONS = (
    click.option(
        "--lr", type=_RATE, help="Highest learning rate: 5e-5 or 3e-4, by --mode."
    ),
    click.option(
        "--num-steps", type=_COUNT, default=1000, show_default=True, help="Steps."
    ),
    click.option(
        "--warmup-steps",
        type=_COUNT,
        help="Steps in which the rate rises: a tenth, at most 100 or 1000, by --mode.",
    ),
    click.option(
        "--schedule",
        type=click.Choice(["cosine", "wsd"]),
        default="cosine",
        show_default=True,
        help="How the rate falls: to a tenth, or stable and to 0 in the last fifth.",
    ),
    click.option(
        "--batch-size",
        type=_POSITIVE,
        default=16,
        show_default=True,
        help="Sequences in a step.",
    ),
    click.option(
        "--accumulate",
        type=_POSITIVE,
        default=1,
        show_default=True,
        metavar="N",
        help="Compute a step in N parts, which takes less memory.",
    ),
    click.option(
        "--weight-decay",
        type=click.FloatRange(0),
        default=0.1,
        show_default=True,
        help="Decay of matrices.",
    ),
    click.option(
        "--clip",
        type=_RATE,
        default=1.0,
        show_default=True,
        help="Largest norm of a gradient.",
    ),
    click.option(
        "--steps-per-epoch",
        type=_POSITIVE,
        default=100,
        show_default=True,
        help="Steps between measurements, each of which leaves a checkpoint.",
    ),
    click.option(
        "--target-val-loss",
        type=_RATE,
        help="End when the validation loss is as low as this.",
    ),
    click.option(
        "--patience",
        type=_POSITIVE,
        metavar="N",
        help="End when N measurements in a row were not better than the best.",
    ),
    click.option(
        "--seed",
        type=int,
        default=42,
        show_default=True,
        help="Decides the order of the text, and new weights.",
    ),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="cpu, cuda, cuda:N, or auto: a GPU if there is one.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["f32", "bf16"]),
        default="f32",
        show_default=True,
        help="That of matrix products; weights are f32.",
    ),
    click.option(
        "--parallel",
        type=click.Choice(["ddp", "fsdp"]),
        help="How the processes of torchrun share a model: each has all of it (ddp, the"
        " default), or a part (fsdp).",
    ),
    click.option("--compile", "compiled", is_flag=True, help="Use torch.compile."),
    click.option(
        "--activation-checkpointing",
        is_flag=True,
        help="Compute layers twice, which takes less memory.",
    ),
)


def course_options(function: F) -> F:
    """Add what says how a model is trained."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


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

    A second one ends it at once.
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
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shown(course: "Course", *, silent: bool) -> Iterator[Watch]:
    """Give what prints each measurement, and on a terminal how far a training is."""
    if silent:
        yield lambda _event: None
    elif not sys.stderr.isatty():
        yield _Lines(course)
    else:
        with _bar(course, _Lines(course)) as watch:
            yield watch


class _Lines:
    """Prints a line for each measurement."""

    def __init__(self, course: "Course") -> None:
        self._course = course
        self._last: Mapping[str, Any] = {}

    def __call__(self, event: Mapping[str, Any]) -> None:
        if "val_loss" not in event:
            self._last = event
            return
        line = f"step {event['step']}/{self._course.num_steps}"
        line += f"  validation loss {event['val_loss']:.4f}"
        if self._last:
            line += f"  loss {self._last['loss']:.4f}  {_speed(self._last)}"
        click.echo(line)


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
            line = f"loss {event['loss']:.4f}  {_speed(event)}"
            progress.update(task, completed=event["step"], told=line)
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
