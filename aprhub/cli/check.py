"""`aprhub check`."""

import sys
from pathlib import Path
from typing import Any

import click

from aprhub.cli.options import echo_json, printable, registry, shared
from aprhub.cli.source import source


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--contract",
    "wanted",
    required=True,
    metavar="ID",
    help="The contract, such as merge-runnable; see 'aprhub contracts list'.",
)
@source("FILE")
@shared
def check(file: Path, wanted: str, **options: Any) -> None:
    """Hold FILE, a model file or folder, against a contract.

    The exit code is 1 when the model breaks it. Round trips are written to the folder
    for temporary files, and removed.
    """
    from aprhub.contracts.catalogue import contracts, named
    from aprhub.contracts.checking import Subject, checked
    from aprhub.lift import LiftOptions

    contract = named(wanted, contracts())
    plugins = registry(strict=options["strict_plugins"])
    lift = LiftOptions(options["naming"], options["family"])
    found = checked(Subject(file, plugins, lift, options["source_format"]), contract)
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        verdict = "holds" if found.holds else f"is broken {len(found.faults)} time(s)"
        click.echo(f"{file}: {contract.name} {verdict}")
        for fault in found.faults:
            click.echo(f"  - {printable(str(fault))}")
        for refusal in found.refusals:
            click.echo(f"  note: {printable(str(refusal))}")
    if not found.holds:
        sys.exit(1)
