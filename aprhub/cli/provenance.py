"""`aprhub provenance`: where a model comes from, and whether that is true."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.options import echo_json, echo_table, registry, shared
from aprhub.cli.source import opened, source

if TYPE_CHECKING:
    from aprhub.ancestry import Ancestry
    from aprhub.ir.model import LineageStep, Provenance

_PATH = click.Path(path_type=Path)


@click.group()
def provenance() -> None:
    """Show where a model comes from, and compare it with its inputs."""


@provenance.command()
@click.argument("file", type=_PATH)
@source("FILE")
@shared
def show(file: Path, **options: Any) -> None:
    """Show what FILE says of its origin, and each step of its lineage."""
    from attrs import asdict

    stored, _ = opened(file, options)
    if options["as_json"]:
        echo_json({"schema": 1, "path": str(file), **asdict(stored.provenance)})
        return
    rows = _claims(stored.provenance)
    if rows:
        echo_table(rows)
    for number, step in enumerate(stored.provenance.lineage, 1):
        _echo_step(number, step)
    if not stored.provenance.lineage:
        click.echo("no lineage is recorded")


def _claims(found: "Provenance") -> list[tuple[str, str]]:
    from attrs import asdict

    claims = asdict(found, filter=lambda field, _value: field.name != "lineage")
    return [(name, value) for name, value in claims.items() if value is not None]


def _echo_step(number: int, step: "LineageStep") -> None:
    tools = ", ".join(f"{name} {version}" for name, version in step.tools.items())
    click.echo(f"step {number}: {step.operation} ({tools})")
    rows = [("  input", name, value) for name, value in step.inputs.items()]
    rows += [("  option", name, str(value)) for name, value in step.options.items()]
    if rows:
        echo_table(rows)


@provenance.command()
@click.argument("file", type=_PATH)
@click.argument("inputs", type=_PATH, nargs=-1, required=True, metavar="INPUT...")
@source("FILE")
@shared
def verify(file: Path, inputs: tuple[Path, ...], **options: Any) -> None:
    """Check that each INPUT is one that the lineage of FILE records.

    Inputs that are not given are listed as missing. The exit code is 1 when an INPUT
    has the name of a recorded one but another content, or is not recorded at all.
    """
    from aprhub.ancestry import traced

    stored, _ = opened(file, options)
    plugins = registry(strict=options["strict_plugins"])
    found = traced(stored.provenance.lineage, inputs, plugins)
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        _echo(found)
    if not found.is_true:
        raise SystemExit(1)


def _echo(found: "Ancestry") -> None:
    for each in found.traces:
        origin = f" ({each.path})" if each.path else ""
        step = f"step {each.step}, {each.operation}"
        click.echo(f"{each.outcome:8}{step}: {each.name}{origin}")
        if each.outcome == "differs":
            click.echo(f"        recorded {each.recorded}")
            click.echo(f"        found    {each.found}")
    for path in found.unrecorded:
        click.echo(f"        {path}: no step records it")
