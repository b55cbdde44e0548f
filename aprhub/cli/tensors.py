"""`aprhub tensors`."""

import hashlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.options import echo_json, echo_table, shared
from aprhub.cli.source import fit_of, opened, source

if TYPE_CHECKING:
    from aprhub.ir.tensor import Tensor
    from aprhub.registry import Registry
    from aprhub.spec.format import StoredModel


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@source("FILE")
@click.option(
    "--filter",
    "pattern",
    default="*",
    metavar="PATTERN",
    help="Names to list, such as 'layers.0.*'.",
)
@click.option(
    "--hash", "hashed", is_flag=True, help="Add the SHA-256 of the stored bytes."
)
@click.option(
    "--stats",
    is_flag=True,
    help="Add extremes and mean of the values, and counts of zeros, NaNs, infinities.",
)
@shared
def tensors(file: Path, pattern: str, **options: Any) -> None:
    """List the tensors of FILE: names, shapes, encodings, sizes.

    Each has its stored name and its canonical one, which is empty where the family is
    unknown. The pattern of --filter matches either; `*` stands for anything.
    """
    stored, plugins = opened(file, options)
    rows = list(_rows(stored, plugins, pattern, options))
    if options["as_json"]:
        echo_json({"schema": 1, "path": str(file), "tensors": rows})
    elif rows:
        # Tensors that no codec decodes have other columns than the rest.
        header = tuple(dict.fromkeys(name for row in rows for name in row))
        echo_table([[_cell(row.get(name)) for name in header] for row in rows], header)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return "x".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _rows(
    stored: "StoredModel", plugins: "Registry", pattern: str, options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    fit, _ = fit_of(stored, plugins, options)
    spellings = fit.spellings if fit else ()
    canonical = {each.stored: each.canonical for each in spellings}
    for name, tensor in stored.tensors.items():
        ours = canonical.get(name, "")
        if not (fnmatchcase(name, pattern) or fnmatchcase(ours, pattern)):
            continue
        row: dict[str, Any] = {
            "name": name,
            "canonical": ours,
            "shape": list(tensor.shape),
            "encoding": tensor.encoding.name,
            "bytes": tensor.nbytes,
        }
        if options["hashed"]:
            row["sha256"] = _sha256(tensor)
        if options["stats"]:
            row |= _stats(tensor, plugins)
        yield row


def _sha256(tensor: "Tensor") -> str:
    digest = hashlib.sha256()
    for piece in tensor.pieces():
        digest.update(piece.data)
    return digest.hexdigest()


def _stats(tensor: "Tensor", plugins: "Registry") -> dict[str, Any]:
    """Return numbers of the values, in one pass of bounded pieces."""
    from aprhub.statistics import statistics

    codec = plugins.codec(tensor.encoding.name)
    if codec is None and not tensor.is_readable:
        return {"stats": "no codec"}
    return statistics(tensor, codec.decode if codec else None).as_dict()
