"""`aprhub adapter` and its alias `aprhub finetune --merge`."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aprhub.cli.options import shared
from aprhub.cli.source import source as source_options
from aprhub.cli.writing import echo_report, output, perform

if TYPE_CHECKING:
    from aprhub.adapters.reports import MergeReport
    from aprhub.adapters.stacking import Stacking

F = TypeVar("F", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)

_TARGET = click.option(
    "-o", "--output", "target", required=True, type=_PATH, help="What to write."
)
_MATCH = (
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
_ENCODING = click.option(
    "--merged-encoding",
    type=click.Choice(["keep", "f16", "bf16", "f32"]),
    default="keep",
    help="Encoding of changed tensors: as they were, or another one.",
)
_STACKING = (
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


def _with(options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Return what adds several options to a command."""

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


@click.group()
def adapter() -> None:
    """Merge, convert and inspect adapters: low-rank changes of a model (LoRA)."""


@adapter.command()
@click.argument("base", type=_PATH)
@click.argument("adapters", nargs=-1, required=True, type=_PATH, metavar="ADAPTER...")
@_TARGET
@_with(_MATCH)
@_with(_STACKING)
@_ENCODING
@source_options("BASE")
@output
@shared
def merge(base: Path, adapters: tuple[Path, ...], **options: Any) -> None:
    """Merge each ADAPTER into BASE, a model file or folder.

    Only the tensors that an adapter changes are computed; all others keep their bytes.
    """
    _merge(base, adapters, options)


@click.command()
@click.argument("base", type=_PATH)
@click.option("--merge", "merging", is_flag=True, help="Merge the adapter: needed.")
@click.option("--adapter", required=True, type=_PATH, help="The adapter to merge.")
@_TARGET
@_with(_MATCH)
@_ENCODING
@source_options("BASE")
@output
@shared
def finetune(base: Path, adapter: Path, **options: Any) -> None:
    """Merge an adapter into BASE: 'adapter merge' under the name it has in apr."""
    if not options.pop("merging"):
        raise click.UsageError("only --merge is done here; nothing is trained")
    _merge(base, (adapter,), options)


def _merge(base: Path, adapters: tuple[Path, ...], options: dict[str, Any]) -> None:
    from aprhub.adapters.matching import MatchOptions
    from aprhub.adapters.operations import AdapterMerge
    from aprhub.front import merge_adapters

    request = AdapterMerge(
        base,
        adapters,
        MatchOptions(options.pop("alpha"), options.pop("allow_unmatched")),
        options.pop("merged_encoding"),
        options.pop("layout"),
        _stacking(options),
    )
    perform(options, partial(merge_adapters, request, options.pop("target")), _echo)


def _stacking(options: dict[str, Any]) -> "Stacking":
    """Return how several adapters become one, as the options say."""
    from aprhub.adapters.stacking import Stacking

    names = ("mode", "weights", "density", "rank", "seed")
    said = {name: options.pop(name) for name in names if name in options}
    return Stacking(**said)


def _echo(report: "MergeReport", *, verbose: bool) -> None:
    echo_report(report.written, verbose=verbose)
    for use in report.adapters:
        alpha = f", alpha from {use.alpha_from}" if use.alpha_from else ""
        click.echo(
            f"  {use.path} ({use.layout}): {use.matched} weights from {use.tensors}"
            f" tensors{alpha}"
        )
        for fault in (*use.unmatched, *use.orphans):
            click.echo(f"    left out: {fault}")
        for note in use.notes:
            click.echo(f"    note: {note}")
    for name in report.replaced:
        click.echo(f"  replaced: {name}")
    for name in report.without_effect:
        click.echo(f"  without effect, left as it was: {name}")
    for name, how in report.merged.items() if verbose else ():
        click.echo(f"    {name}: {how}")
    for note in report.notes:
        click.echo(f"  note: {note}")
    click.echo(report.summary)
