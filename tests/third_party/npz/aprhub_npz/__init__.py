"""Models as `.npz` archives: an uncompressed zip of `.npy` arrays and a description."""

from collections.abc import Iterable
from pathlib import Path

from aprhub.api import (
    FileEvidence,
    Format,
    Layout,
    LayoutOptions,
    StoredModel,
    hookimpl,
)

ZIP = b"PK\x03\x04"
FIRST_NAME = slice(30, 286)


def _has_structure(evidence: FileEvidence) -> bool:
    """Return whether a zip begins with an array, or with a model's description."""
    size = int.from_bytes(evidence.head[26:28], "little")
    name = evidence.head[FIRST_NAME][:size]
    ours = name == b"metadata.json" or name.endswith(b".npy")
    return evidence.head.startswith(ZIP) and ours


def _open(path: Path) -> StoredModel:
    from aprhub_npz.reader import open_npz

    return open_npz(path)


def _lay_out(stored: StoredModel, target: Path, options: LayoutOptions) -> Layout:
    from aprhub_npz.layout import lay_out

    return lay_out(stored, target, options)


NPZ = Format(
    name="npz",
    title="NumPy archive",
    extensions=(".npz",),
    naming="hf",
    tokenizer_form="json",
    has_structure=_has_structure,
    open=_open,
    lay_out=_lay_out,
)


@hookimpl
def provide_formats() -> Iterable[Format]:
    """Return the one format."""
    return (NPZ,)
