"""Files and folders of models: their contents, copies, and where they are cut."""

import shutil
from pathlib import Path
from typing import ClassVar

from attrs import frozen

from aprhub.api import Bytes, FileRange, StoredModel


def contents(path: Path) -> dict[str, bytes]:
    """Return the bytes of a file, or of every file in a folder, by relative name."""
    if path.is_file():
        return {"": path.read_bytes()}
    files = (each for each in path.rglob("*") if each.is_file())
    return {str(each.relative_to(path)): each.read_bytes() for each in files}


def copied(source: Path, target: Path) -> Path:
    """Copy a file or a folder to a path whose folder is made."""
    target.parent.mkdir(parents=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    return target


def extents(stored: StoredModel) -> dict[Path, int]:
    """Return the files that hold tensors, each with the end of its last tensor."""
    ends: dict[Path, int] = {}
    for tensor in stored.tensors.values():
        for extent in tensor.segments() or ():
            end = extent.offset + extent.nbytes
            ends[extent.path] = max(end, ends.get(extent.path, 0))
    return ends


def cuts(end: int) -> list[int]:
    """Return sizes below `end`: all small ones, some between, those just below."""
    some = range(0, end, max(end // 97, 1))
    return sorted({*range(min(end, 48)), *some, *range(max(end - 3, 0), end)})


@frozen
class Interrupting:
    """The bytes of a tensor whose reading is interrupted, as by a user."""

    nbytes: int
    granule: ClassVar[int] = 1

    def read_into(self, start: int, out: Bytes) -> None:
        """Raise KeyboardInterrupt."""
        raise KeyboardInterrupt

    def segments(self) -> tuple[FileRange, ...] | None:
        """Return None: these bytes are in no file."""
        return None
