"""Tables: a column of a Parquet file, read by pyarrow, which comes with an extra."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aprhub.errors import CorruptFileError, EnvironmentFailureError

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_ROWS: Final = 256
"""Rows that are in memory at once."""


def cells(file: Path, column: str) -> Iterator[str]:
    """Yield the texts of a column.

    Raises EnvironmentFailureError without pyarrow, CorruptFileError for a file that is
    not Parquet, has no such column, or has a value there that is no text.
    """
    try:
        import pyarrow as arrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        lacking = "Parquet files need pyarrow: pip install 'aprhub[train]'"
        raise EnvironmentFailureError(lacking) from error
    try:
        with ParquetFile(file) as table:
            yield from _texts(file, column, table)
    # A text that is not UTF-8 shows when it is taken out.
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        what = f"no Parquet that can be read: {error}"
        raise CorruptFileError(file, what) from error


def _texts(file: Path, column: str, table: "ParquetFile") -> Iterator[str]:
    schema = table.schema_arrow
    if column not in schema.names:
        listed = ", ".join(schema.names) or "none"
        what = f"no column {column!r} (there are: {listed:.80})"
        raise CorruptFileError(file, what, repair="name another with --text-key")
    row = 0
    for batch in table.iter_batches(_ROWS, columns=[column]):
        for text in batch.column(0).to_pylist():
            row += 1
            if not isinstance(text, str):
                what = f"{column!r} is {text!r:.40}, a text was expected"
                where, repair = f"row {row}", "leave the row out, or write a text"
                raise CorruptFileError(file, what, where=where, repair=repair)
            yield text
