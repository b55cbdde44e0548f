"""Options of commands on adapters, and the values that they stand for."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from aprhub.adapters.matching import MatchOptions
    from aprhub.adapters.stacking import Stacking

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)

TARGET = click.option(
    "-o", "--output", "target", required=True, type=PATH, help="What to write."
)
ADAPTERS = click.argument(
    "adapters", nargs=-1, required=True, type=PATH, metavar="ADAPTER..."
)
MATCH = (
    click.option(
        "--alpha",
        type=float,
        help="Alpha of the adapters, instead of what their files say.",
    ),
    click.option(
        "--layout",
        metavar="LAYOUT",
        help="Layout of the adapters, instead of recognising it.",
    ),
    click.option(
        "--allow-unmatched",
        is_flag=True,
        help="Leave out tensors of an adapter that have no place in BASE.",
    ),
)
STACKING = (
    click.option(
        "--mode",
        default="cat",
        show_default=True,
        help="How several adapters become one: cat (the sum), svd (the sum cut to a"
        " rank), linear, ties, dare_linear, dare_ties, magnitude_prune; the last four"
        " also with _svd after their name.",
    ),
    click.option(
        "--weight",
        "weights",
        type=float,
        multiple=True,
        help="Weight of each adapter in turn; 1 each without any.",
    ),
    click.option("--density", type=float, help="Share of values that pruning keeps."),
    click.option("--svd-rank", "rank", type=int, help="Rank of a mode with svd."),
    click.option("--seed", type=int, default=0, help="Seed of a mode with dare."),
)

INPUTS = (click.argument("base", type=PATH), ADAPTERS, TARGET, *MATCH, *STACKING)
"""What says which adapters are for which base, and what becomes of them."""


def added(options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Return what adds several options to a command."""

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def match_of(options: dict[str, Any]) -> "MatchOptions":
    """Take what the options say of matching out of them."""
    from aprhub.adapters.matching import MatchOptions

    return MatchOptions(options.pop("alpha"), options.pop("allow_unmatched"))


def stacking_of(options: dict[str, Any]) -> "Stacking":
    """Take how several adapters become one out of the options."""
    from aprhub.adapters.stacking import Stacking

    names = ("mode", "weights", "density", "rank", "seed")
    said = {name: options.pop(name) for name in names if name in options}
    return Stacking(**said)
