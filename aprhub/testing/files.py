"""Files and folders of models: their contents, and copies."""

import shutil
from pathlib import Path


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
