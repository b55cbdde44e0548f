"""`aprhub validate`."""

import sys
from pathlib import Path
from typing import Any

import click

from aprhub.cli.doctor import echo_finding
from aprhub.cli.options import echo_json, human_bytes, registry, shared
from aprhub.cli.source import source


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--workers", type=click.IntRange(1), default=None, help="Threads; one a core."
)
@source("FILE")
@shared
def validate(file: Path, **options: Any) -> None:
    """Read the whole of FILE and judge it: structure, checksums, every value.

    Finds what 'aprhub doctor' finds, and NaNs, infinities, matrices that are zero or
    constant, and floods of denormal numbers. Exit codes: 0 valid, 1 something is wrong.
    """
    from aprhub.errors import about
    from aprhub.health.diagnosis import Doctoring
    from aprhub.health.validation import validated

    plugins = registry(strict=options["strict_plugins"])
    told = Doctoring(
        options["source_format"],
        options["naming"],
        options["family"],
        checksums=False,
    )
    with about(file):
        found = validated(file, plugins, told, options["workers"] or 0)
    if options["as_json"]:
        echo_json(found.as_json())
    else:
        state = f"{len(found.findings)} finding(s)" if found.findings else "valid"
        click.echo(f"{file}: {found.diagnosis.format.name}, {state}")
        click.echo(
            f"  {found.tensors} tensors, {human_bytes(found.nbytes)} read in"
            f" {found.seconds:.2f} s ({found.speed:.2f} GB/s)"
        )
        for finding in found.findings:
            echo_finding(finding)
    sys.exit(int(bool(found.findings)))
