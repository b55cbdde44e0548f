"""`aprhub adapter`, and `aprhub finetune --merge`, its alias."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aprhub.cli.options import echo_json, echo_table, registry, shared
from aprhub.cli.source import source as source_options
from aprhub.cli.writing import echo_report, output, perform

if TYPE_CHECKING:
    from aprhub.adapters.making import AdapterReport
    from aprhub.adapters.matching import MatchOptions
    from aprhub.adapters.reports import AdapterUse, MergeReport
    from aprhub.adapters.stacking import Stacking

F = TypeVar("F", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)

_TARGET = click.option(
    "-o", "--output", "target", required=True, type=_PATH, help="What to write."
)
_ADAPTERS = click.argument(
    "adapters", nargs=-1, required=True, type=_PATH, metavar="ADAPTER..."
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
_ENCODING = click.option(
    "--merged-encoding",
    type=click.Choice(["keep", "f16", "bf16", "f32"]),
    default="keep",
    show_default=True,
    help="Encoding of changed tensors: as they were, or another one.",
)
_MADE = (
    click.option(
        "--to",
        "to_layout",
        metavar="LAYOUT",
        help="Layout to write: peft, entrenar, names, apr or gguf; without it, the"
        " one that the extension of the output has.",
    ),
    click.option("--dry-run", is_flag=True, help="Print files; write nothing."),
    click.option("--force", is_flag=True, help="Replace the output if it exists."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
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
    """Merge, convert, extract and inspect adapters (LoRA)."""


@adapter.command()
@click.argument("base", type=_PATH)
@_ADAPTERS
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


@adapter.command()
@click.argument("base", type=_PATH)
@_ADAPTERS
@_TARGET
@_with(_MATCH)
@_with(_STACKING)
@_with(_MADE)
@shared
def convert(base: Path, adapters: tuple[Path, ...], **options: Any) -> None:
    """Write each ADAPTER, made into one, in another layout.

    BASE is a model that they are for; it says what the weights are called and how
    their rows are ordered in each layout. None of its weights is read.
    """
    from aprhub.adapters.making import AdapterConversion, converted

    request = AdapterConversion(
        base,
        adapters,
        options["to_layout"],
        options["layout"],
        _match(options),
        _stacking(options),
    )
    _make(partial(converted, request), options)


@adapter.command()
@click.argument("base", type=_PATH)
@click.argument("tuned", type=_PATH)
@_TARGET
@click.option("--rank", type=int, required=True, help="Rank of every change.")
@click.option(
    "--pairs-only",
    is_flag=True,
    help="Leave out changed tensors that are no matrices.",
)
@_with(_MADE)
@shared
def extract(base: Path, tuned: Path, **options: Any) -> None:
    """Make an adapter of what TUNED has that BASE has not.

    Each matrix's change is cut to a rank by its singular values; the report says how
    much that misses.
    """
    from aprhub.adapters.extraction import AdapterExtraction
    from aprhub.adapters.making import extraction

    request = AdapterExtraction(
        base, tuned, options["rank"], options["to_layout"], options["pairs_only"]
    )
    _make(partial(extraction, request), options)


@adapter.command()
@click.argument("adapter", type=_PATH)
@click.option(
    "--layout", metavar="LAYOUT", help="Layout of ADAPTER, instead of recognising it."
)
@shared
def inspect(adapter: Path, **options: Any) -> None:
    """Show what ADAPTER holds and what it says of itself. No matrix is read."""
    from aprhub.adapters.inspection import inspected

    plugins = registry(strict=options["strict_plugins"])
    found = inspected(adapter, plugins, options["layout"])
    if options["as_json"]:
        echo_json(found)
        return
    ranks = ", ".join(map(str, found["ranks"])) or "none"
    click.echo(f"{adapter}: {found['layout']}, rank {ranks}")
    for claim in found["alpha"]:
        said = "nothing" if claim["value"] is None else f"{claim['value']:g}"
        click.echo(f"alpha: {claim['where']}: {said}")
    echo_table(
        [(t["weight"], t["part"], t["shape"], t["encoding"]) for t in found["tensors"]],
        ("weight", "part", "shape", "encoding"),
    )
    for name in found["strangers"]:
        click.echo(f"no known meaning: {name}")
    for note in found["notes"]:
        click.echo(f"note: {note}")


def _merge(base: Path, adapters: tuple[Path, ...], options: dict[str, Any]) -> None:
    from aprhub.adapters.operations import AdapterMerge
    from aprhub.front import merge_adapters

    request = AdapterMerge(
        base,
        adapters,
        _match(options),
        options.pop("merged_encoding"),
        options.pop("layout"),
        _stacking(options),
    )
    perform(options, partial(merge_adapters, request, options.pop("target")), _echo)


def _match(options: dict[str, Any]) -> "MatchOptions":
    from aprhub.adapters.matching import MatchOptions

    return MatchOptions(options.pop("alpha"), options.pop("allow_unmatched"))


def _stacking(options: dict[str, Any]) -> "Stacking":
    """Return how several adapters become one, as the options say."""
    from aprhub.adapters.stacking import Stacking

    names = ("mode", "weights", "density", "rank", "seed")
    said = {name: options.pop(name) for name in names if name in options}
    return Stacking(**said)


def _make(run: Callable[..., "AdapterReport"], options: dict[str, Any]) -> None:
    from aprhub.adapters.writing import WriteOptions

    chosen: WriteOptions = WriteOptions(options["force"], options["dry_run"])
    plugins = registry(strict=options["strict_plugins"])
    report = run(options["target"], chosen, plugins)
    if options["as_json"]:
        echo_json(report.as_json())
    elif not options["quiet"]:
        _echo_made(report)


def _echo_made(report: "AdapterReport") -> None:
    verb = "would write" if report.dry_run else "wrote"
    for file in report.files:
        click.echo(f"{verb} {file.path}: {file.nbytes} bytes")
    for note in report.notes:
        click.echo(f"note: {note}")
    replaced = f", {len(report.replaced)} tensors whole" if report.replaced else ""
    click.echo(f"{report.layout}: {len(report.changes)} changes{replaced}")


def _echo(report: "MergeReport", *, verbose: bool) -> None:
    echo_report(report.written, verbose=verbose)
    for use in report.adapters:
        _echo_use(use)
    for name in report.replaced:
        click.echo(f"  replaced: {name}")
    for name in report.without_effect:
        click.echo(f"  without effect, left as it was: {name}")
    for name, how in report.merged.items() if verbose else ():
        click.echo(f"    {name}: {how}")
    for note in report.notes:
        click.echo(f"  note: {note}")
    click.echo(report.summary)


def _echo_use(use: "AdapterUse") -> None:
    alpha = f", alpha from {use.alpha_from}" if use.alpha_from else ""
    click.echo(
        f"  {use.path} ({use.layout}): {use.matched} weights from {use.tensors}"
        f" tensors{alpha}"
    )
    for fault in (*use.unmatched, *use.orphans):
        click.echo(f"    left out: {fault}")
    for note in use.notes:
        click.echo(f"    note: {note}")
