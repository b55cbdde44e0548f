"""`aprhub adapter merge` and `aprhub finetune --merge`, its alias."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.adapter_options import (
    INPUTS,
    MATCH,
    PATH,
    TARGET,
    added,
    match_of,
    stacking_of,
)
from aprhub.cli.options import shared
from aprhub.cli.source import source as source_options
from aprhub.cli.writing import echo_report, output, perform

if TYPE_CHECKING:
    from aprhub.adapters.reports import AdapterUse, MergeReport

_ENCODING = click.option(
    "--merged-encoding",
    type=click.Choice(["keep", "f16", "bf16", "f32"]),
    default="keep",
    show_default=True,
    help="Encoding of changed tensors: as they were, or another one.",
)


@click.command()
@added(INPUTS)
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
@click.argument("base", type=PATH)
@click.option("--merge", "merging", is_flag=True, help="Merge the adapter: needed.")
@click.option("--adapter", required=True, type=PATH, help="The adapter to merge.")
@TARGET
@added(MATCH)
@_ENCODING
@source_options("BASE")
@output
@shared
def finetune(base: Path, adapter: Path, **options: Any) -> None:
    """Merge an adapter into BASE: 'adapter merge' under the name it has in apr."""
    if not options.pop("merging"):
        raise click.UsageError("--adapter is what --merge merges; give both")
    _merge(base, (adapter,), options)


def _merge(base: Path, adapters: tuple[Path, ...], options: dict[str, Any]) -> None:
    from aprhub.adapters.operations import AdapterMerge
    from aprhub.front import merge_adapters

    request = AdapterMerge(
        base,
        adapters,
        match_of(options),
        options.pop("merged_encoding"),
        options.pop("layout"),
        stacking_of(options),
    )
    perform(options, partial(merge_adapters, request, options.pop("target")), _echo)


def _echo(report: "MergeReport", *, verbose: bool) -> None:
    echo_report(report.written, verbose=verbose)
    for use in report.adapters:
        _echo_use(use)
    for name in report.replaced:
        click.echo(f"  replaced: {name}")
    for name in report.without_effect:
        click.echo(f"  without effect, left as it was: {name}")
    for name in report.vanished:
        click.echo(f"  change too small for the encoding, left as it was: {name}")
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
