"""Writes layouts in the plainest way, so that tests need no commit."""

from pathlib import Path

from aprhub.api import (
    Layout,
    LayoutFile,
    LayoutOptions,
    Literal,
    StoredModel,
    TensorData,
)
from aprhub_gguf import GGUF

WHOLE = LayoutOptions()


def opened(path: Path) -> StoredModel:
    """Open a file as the hub does."""
    assert GGUF.open is not None
    return GGUF.open(path)


def laid_out(
    stored: StoredModel, target: Path, options: LayoutOptions = WHOLE
) -> Layout:
    """Lay a model out as the hub does."""
    assert GGUF.lay_out is not None
    return GGUF.lay_out(stored, target, options)


def rendered(file: LayoutFile) -> bytes:
    """Return the bytes of one file."""
    parts = []
    for segment in file.segments:
        if isinstance(segment, Literal):
            parts.append(segment.data)
        elif isinstance(segment, TensorData):
            parts.append(segment.tensor.tobytes())
        else:
            parts.append(bytes(segment.nbytes))
    return b"".join(parts)


def written(
    stored: StoredModel, target: Path, options: LayoutOptions = WHOLE
) -> list[Path]:
    """Write a model; return the files, the first part first."""
    paths = []
    for file in laid_out(stored, target, options).files:
        path = target.with_name(file.name)
        path.write_bytes(rendered(file))
        assert path.stat().st_size == file.nbytes
        paths.append(path)
    return sorted(paths)


def reopened(stored: StoredModel, folder: Path) -> StoredModel:
    """Write a model and open it again."""
    (path,) = written(stored, folder / "again.gguf")
    return opened(path)
