"""`aprhub adapter`: the group, and what makes and shows adapters."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aprhub.cli.adapter_merge import merge
from aprhub.cli.adapter_options import (
    INPUTS,
    PATH,
    TARGET,
    added,
    match_of,
    stacking_of,
)
from aprhub.cli.options import echo_json, echo_table, registry, shared
from aprhub.cli.writing import progress

if TYPE_CHECKING:
    from aprhub.adapters.making import AdapterReport

F = TypeVar("F", bound=Callable[..., Any])

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


@click.group()
def adapter() -> None:
    """Merge, convert, extract and inspect adapters (LoRA)."""


adapter.add_command(merge)


@adapter.command()
@added((*INPUTS, *_MADE))
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
        match_of(options),
        stacking_of(options),
    )
    _make(partial(converted, request), options)


@adapter.command()
@click.argument("base", type=PATH)
@click.argument("tuned", type=PATH)
@TARGET
@click.option("--rank", type=int, required=True, help="Rank of every change.")
@click.option(
    "--pairs-only",
    is_flag=True,
    help="Leave out changed tensors that are no matrices.",
)
@added(_MADE)
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
@click.argument("adapter", type=PATH)
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


def _make(run: Callable[..., "AdapterReport"], options: dict[str, Any]) -> None:
    from aprhub.adapters.writing import WriteOptions

    chosen: WriteOptions = WriteOptions(options["force"], options["dry_run"])
    plugins = registry(strict=options["strict_plugins"])
    report = run(options["target"], chosen, plugins, progress(options))
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
