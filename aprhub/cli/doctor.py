"""`aprhub doctor`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.options import echo_json, printable, registry, shared
from aprhub.cli.source import source

if TYPE_CHECKING:
    from aprhub.health.repairing import Repair
    from aprhub.spec.health import Finding


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Write what can be repaired to OUT.")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Where --fix writes; FILE itself is never changed.",
)
@click.option(
    "--tokenizer",
    "tokenizer",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A folder or model with the tokenizer, where FILE has lost its own.",
)
@click.option(
    "--trust-bytes",
    is_flag=True,
    help="Where a checksum contradicts the bytes of FILE, take the bytes as right.",
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@source("FILE")
@shared
def doctor(file: Path, **options: Any) -> None:
    """Find what is wrong with FILE, say what shows it, and repair it.

    Only what FILE itself, or what is given here, has evidence for is repaired. Exit
    codes: 0 healthy, or everything repaired; 1 something is wrong.
    """
    if options["fix"] is not bool(options["target"]):
        raise click.UsageError("--fix writes to -o OUT: give both, or neither")
    found = _treated(file, options)
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        _echo(found)
    sys.exit(int(not found.is_healthy))


def _treated(file: Path, options: dict[str, Any]) -> "Repair":
    """Examine a file, and repair it if that is asked for."""
    from aprhub.errors import about
    from aprhub.health.diagnosis import Doctoring, diagnosed
    from aprhub.health.repairing import Repair, repaired, tokenizer_of

    plugins = registry(strict=options["strict_plugins"])
    given = options["tokenizer"]
    told = Doctoring(
        options["source_format"],
        options["naming"],
        options["family"],
        tokenizer_of(given, plugins) if given else None,
        trusts_bytes=options["trust_bytes"],
    )
    with about(file):
        if not options["fix"]:
            return Repair(diagnosed(file, plugins, told))
        target = options["target"]
        return repaired(file, target, told, plugins, force=options["force"])


def _echo(found: "Repair") -> None:
    before = found.before
    state = "healthy" if before.is_healthy else f"{len(before.findings)} finding(s)"
    click.echo(f"{before.path}: {before.format.name}, {state}")
    for finding in before.findings:
        echo_finding(finding, repaired=found.report is not None)
    if found.report:
        click.echo(f"wrote {found.report.target}")
    if found.refusal:
        click.echo(f"nothing was written: {found.refusal}")
    for finding in found.after.findings if found.after else ():
        click.echo(f"left in it: {finding.id} {printable(finding.where)}")


def echo_finding(finding: "Finding", *, repaired: bool = False) -> None:
    """Print a finding: what, where, what shows it, and what can be done."""
    click.echo(printable(f"  {finding.id} {finding.where}: {finding.found}"))
    lines = {
        "expected": finding.expected,
        "evidence": finding.evidence,
        "contract": finding.contract,
        "not repaired": finding.obstacle,
    }
    if finding.is_mendable:
        lines["repaired" if repaired else "repair"] = (
            f"{finding.found} -> {finding.expected}"
            if repaired
            else "--fix -o OUT writes it so"
        )
    for title, text in lines.items():
        if text:
            click.echo(printable(f"    {title}: {text}"))
