"""Options that say how a text is cut up for a model."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

F = TypeVar("F", bound=Callable[..., Any])

NAMES = ("chunks", "seq_len", "batch_size")

_POSITIVE = click.IntRange(min=1)

_OPTIONS = (
    click.option(
        "--chunks",
        type=_POSITIVE,
        metavar="N",
        help="Use the first N chunks of TEXT, instead of all.",
    ),
    click.option(
        "--seq-len",
        type=_POSITIVE,
        default=512,
        show_default=True,
        metavar="N",
        help="Tokens in a chunk.",
    ),
    click.option(
        "--batch-size",
        type=_POSITIVE,
        default=1,
        show_default=True,
        metavar="N",
        help="Chunks that are run at once.",
    ),
)


def refuse_text_options(without: str) -> None:
    """Raise UsageError where one of these options is given, but not the text."""
    context = click.get_current_context()
    for name in NAMES:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = name.replace("_", "-")
            raise click.UsageError(f"--{option} belongs to a text: say {without}")


def text_options(function: F) -> F:
    """Add `--chunks`, `--seq-len` and `--batch-size` to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
