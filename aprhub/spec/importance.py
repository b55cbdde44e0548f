"""ImportanceFormat: how files of importance matrices are recognised, read, written."""

from collections.abc import Callable
from pathlib import Path

from attrs import field, frozen

from aprhub.ir.importance import Importance
from aprhub.spec.format import FileEvidence
from aprhub.spec.layout import Layout


@frozen
class ImportanceFormat:
    """A file format of importance matrices.

    `naming` is the convention of the names in it. `open` parses a file without reading
    the sums; the hub checks these. `lay_out` says where every byte goes; None when the
    format is only read.
    """

    name: str
    title: str
    extensions: tuple[str, ...]
    naming: str
    recognises: Callable[[FileEvidence], bool] = field(repr=False)
    open: Callable[[Path], Importance] = field(repr=False)
    lay_out: Callable[[Importance, Path], Layout] | None = field(
        default=None, repr=False
    )
