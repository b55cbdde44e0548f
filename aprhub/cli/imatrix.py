"""`aprhub imatrix`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.options import echo_json, shared
from aprhub.cli.source import run_request
from aprhub.cli.source import source as source_options
from aprhub.cli.text import text_options

if TYPE_CHECKING:
    from aprhub.ir.importance import Importance


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Where the importance matrix goes: a .gguf file.",
)
@text_options
@source_options("MODEL")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@shared
def imatrix(model: Path, text: Path, target: Path, **options: Any) -> None:
    """Measure on TEXT how much each input of MODEL's matrices matters.

    The importance matrix is what llama.cpp's own tool makes: for every column of every
    matrix in a layer, the sum of the squares that the matrix was multiplied with. It
    needs torch.
    """
    from aprhub.runs import imatrix as run

    chosen, plugins = run_request(options)
    found = run(model, text, target, chosen, registry=plugins)
    if options["as_json"]:
        echo_json(_described(found))
    else:
        click.echo(
            f"wrote {found.path}: {len(found.entries)} matrices, measured on"
            f" {found.chunks} chunks of {found.chunk_size} tokens"
        )


def _described(found: "Importance") -> dict[str, Any]:
    """Return what was measured and how often, without the sums."""
    return {
        "schema": 1,
        "path": str(found.path),
        "datasets": list(found.datasets),
        "chunks": found.chunks,
        "chunk_size": found.chunk_size,
        "counts": {name: list(each.counts) for name, each in found.entries.items()},
    }
