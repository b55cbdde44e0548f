"""`aprhub hash`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.options import echo_json, echo_table, shared
from aprhub.cli.source import read_canonical, source

if TYPE_CHECKING:
    from aprhub.hashing import TensorHash


@click.command("hash")
@click.argument("file", type=click.Path(path_type=Path))
@source("FILE")
@click.option("--tensors", "listed", is_flag=True, help="List the hash of each tensor.")
@click.option(
    "--values",
    is_flag=True,
    help="Add hashes of the f32 values, which are equal whatever the encoding.",
)
@shared
def hash_file(file: Path, listed: bool, values: bool, **options: Any) -> None:
    """Hash the model in FILE: its weights, configuration and tokenizer.

    Files of one model have one hash in every format, as long as the encodings are the
    same; with --values also where a tensor was widened without loss.
    """
    from aprhub.hashing import hashed

    _, model = read_canonical(file, options)
    start = time.perf_counter()
    found = hashed(model, values=values)
    seconds = time.perf_counter() - start
    tensors = [_row(each) for each in found.tensors] if listed else []
    summary = found.as_json()
    if options["as_json"]:
        added = {"tensors": tensors} if listed else {}
        speed = {"bytes": found.nbytes, "seconds": round(seconds, 3)}
        echo_json({"schema": 1, "path": str(file), **summary, **speed, **added})
        return
    if tensors:
        header = tuple(tensors[0])
        echo_table([tuple(map(str, row.values())) for row in tensors], header)
    echo_table(summary.items())
    rate = found.nbytes / 1e9 / seconds
    click.echo(f"{found.nbytes} bytes in {seconds:.2f} s, {rate:.2f} GB/s")


def _row(tensor: "TensorHash") -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "encoding": tensor.encoding,
        "sha256": tensor.sha256,
    }
    return row if tensor.values is None else {**row, "values": tensor.values}
