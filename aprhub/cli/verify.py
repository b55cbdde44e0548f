"""`aprhub verify`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.options import echo_json, echo_table, printable, registry, shared

if TYPE_CHECKING:
    from aprhub.verification.verdict import Verification

SHOWN = 24
"""How many findings are listed; the JSON has all."""


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--level",
    type=click.Choice(["names", "values", "bytes", "logits"]),
    default="values",
    show_default=True,
    help="What is compared: each level all that the one before it is, but for 'bytes',"
    " which demands SOURCE's own.",
)
@click.option(
    "--against",
    type=click.Choice(["llama.cpp", "transformers"]),
    multiple=True,
    help="Ask this program for the logits of what it can run; may be given twice.",
)
@click.option(
    "--dtype",
    type=click.Choice(["f32", "f16", "bf16"]),
    help="TARGET was to be cast to this: rounding to it is no fault.",
)
@click.option(
    "--imatrix",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The importance matrix that TARGET was quantised with.",
)
@click.option(
    "--naming",
    metavar="NAMING",
    help="'keep' compares names as they are stored; else the naming of both.",
)
@click.option(
    "--family", metavar="FAMILY", help="Family of both, instead of what SOURCE claims."
)
@shared
def verify(source: Path, target: Path, **options: Any) -> None:
    """Judge whether TARGET is a faithful conversion of SOURCE.

    Any formats, names and layouts; quantised tensors are judged by the bound of their
    type. The exit code is 1 when something is wrong, and the first cause is named.
    """
    from aprhub.front import verify as run
    from aprhub.options import VerifyOptions

    names = ("level", "against", "dtype", "imatrix", "naming", "family")
    chosen = VerifyOptions(**{name: options[name] for name in names})
    plugins = registry(strict=options["strict_plugins"])
    found = run(source, target, chosen, registry=plugins)
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        _echo(found)
    if not found.is_faithful:
        sys.exit(1)


def _echo(found: "Verification") -> None:
    click.echo(f"{found.source} -> {found.target}, by {found.level}")
    listed = ", ".join(
        f"{count} {what}" for what, count in found.counts().most_common()
    )
    click.echo(
        f"  {len(found.tensors)} tensors: {listed}" if listed else "  no tensors"
    )
    for each in found.logits:
        click.echo(f"  logits: {each}")
    click.echo(f"  {found.kept} metadata keys carried, {len(found.lost)} lost")
    for key in found.lost:
        click.echo(f"    lost {printable(key)}")
    if found.is_faithful:
        click.echo("  faithful")
        return
    click.echo(f"  not faithful: {printable(str(found.findings[0]))}")
    shown = found.findings[:SHOWN]
    rows = [(each.subject, each.cause, each.detail) for each in shown]
    echo_table(rows, ("subject", "cause", "detail"))
    if len(found.findings) > SHOWN:
        click.echo(f"… and {len(found.findings) - SHOWN} more")
