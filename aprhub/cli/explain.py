"""`aprhub explain-merge`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.options import echo_json, echo_table, registry, shared

if TYPE_CHECKING:
    from aprhub.adapters.explaining import Explanation

_PATH = click.Path(path_type=Path)


@click.command("explain-merge")
@click.argument("base", type=_PATH)
@click.argument("merged", type=_PATH)
@click.argument("adapter", type=_PATH, required=False)
@click.option("--alpha", type=float, help="Alpha of ADAPTER, where it does not say it.")
@shared
def explain_merge(
    base: Path, merged: Path, adapter: Path | None, **options: Any
) -> None:
    """Show what MERGED has that BASE has not, and whether ADAPTER asks for it.

    The exit code is 1 when a change is not the adapter's product: transposed, of
    matrices that were misread, missing, or another one.
    """
    from aprhub.adapters.explaining import explained
    from aprhub.adapters.matching import MatchOptions

    plugins = registry(strict=options["strict_plugins"])
    match = MatchOptions(options["alpha"])
    found = explained((base, merged, adapter), plugins, match)
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        _echo(found)
    if not found.is_right:
        sys.exit(1)


def _echo(found: "Explanation") -> None:
    rows = [
        (
            each.name,
            f"{each.share:.3g}",
            each.effective_rank or "-",
            "-" if each.scale is None else f"{each.scale:.4g}",
            "-" if each.expected_scale is None else f"{each.expected_scale:.4g}",
            each.verdict or "",
        )
        for each in found.changes
    ]
    if rows:
        header = ("weight", "share", "rank", "scale", "asked", "what was added")
        echo_table(rows, header)
    click.echo(f"{len(found.changes)} of {found.weights} weights differ")
