"""Staging: a hidden folder beside the target, and putting its files in place.

Nothing of an output stands under its own name until all of it has been written and
judged. A staging folder whose process died is recognised by its lock and removed by
the next run on the same target.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from attrs import frozen

from aprhub.errors import EnvironmentFailureError, TargetExistsError

SUFFIX = ".aprhub-partial"
LOCK = ".lock"
REPLACED = ".replaced"


@frozen
class Staging:
    """The folder in which an output is written, and where it goes afterwards."""

    folder: Path
    target: Path
    is_folder: bool

    @property
    def opened(self) -> Path:
        """The path that a reader opens to see the output before it is in place."""
        return self.folder / self.target.name

    def path(self, name: str) -> Path:
        """Return where a file of the output is written."""
        return (self.opened if self.is_folder else self.folder) / name

    def publish(self, names: Sequence[str], owned: Sequence[str]) -> None:
        """Put everything in place; the last name last.

        Of a folder that is replaced, files that match none of the patterns `owned`
        stay.
        """
        if self.is_folder:
            _exchange(self.opened, self.target, self.folder / REPLACED)
            _keep_others(self.folder / REPLACED, self.target, owned)
        else:
            _replace_all(self.folder, self.target.parent, names)
        sync_folder(self.target.parent)


@contextlib.contextmanager
def staged(target: Path, *, is_folder: bool) -> Iterator[Staging]:
    """Give a staging folder in the target's own folder, and remove it afterwards.

    Raises EnvironmentFailureError when the folder cannot be made.
    """
    parent = target.absolute().parent
    try:
        remove_abandoned(target)
        folder = Path(tempfile.mkdtemp(SUFFIX, f".{target.name}.", parent))
    except OSError as error:
        raise EnvironmentFailureError(
            f"{parent}: cannot write there: {error.strerror}"
        ) from error
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(_locked(folder))
        staging = Staging(folder, parent / target.name, is_folder)
        if is_folder:
            staging.opened.mkdir()
        yield staging


def refuse_existing(target: Path, names: Sequence[str], *, is_folder: bool) -> None:
    """Raise TargetExistsError when something stands where a file is to go."""
    if is_folder:
        taken = [target] if target.exists() and any(_entries(target)) else []
    else:
        taken = [target.parent / name for name in names]
    for path in taken:
        if os.path.lexists(path):
            raise TargetExistsError(path)


def _entries(path: Path) -> Iterator[Path]:
    return path.iterdir() if path.is_dir() else iter((path,))


def remove_abandoned(target: Path) -> None:
    """Remove staging folders of this target whose process is gone."""
    parent = target.absolute().parent
    for folder in parent.glob(f".{_escaped(target.name)}.*{SUFFIX}"):
        with contextlib.suppress(OSError), (folder / LOCK).open("rb") as lock:
            if _lock(lock):
                _restore(folder / REPLACED, target)
                shutil.rmtree(folder, ignore_errors=True)


def _restore(replaced: Path, target: Path) -> None:
    if replaced.exists() and not os.path.lexists(target):
        replaced.replace(target)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("wb") as lock:
        _lock(lock)
        yield


if sys.platform == "win32":

    def _lock(_file: IO[bytes]) -> bool:
        return False  # no flock: abandoned folders stay until somebody removes them

else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        """Take the lock of an open file; False when another process holds it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _replace_all(source: Path, folder: Path, names: Sequence[str]) -> None:
    """Rename each file into place; on failure put back what stood there."""
    done: list[str] = []
    try:
        for name in names:
            if (folder / name).exists():
                os.link(folder / name, source / f"{name}.replaced")
            (source / name).replace(folder / name)
            done.append(name)
    except OSError as error:
        for name in done:
            backup = source / f"{name}.replaced"
            (folder / name).unlink()
            if backup.exists():
                backup.replace(folder / name)
        raise EnvironmentFailureError(
            f"{folder}: could not put the output in place: {error}"
        ) from error


def _exchange(new: Path, target: Path, aside: Path) -> None:
    """Put a folder in place of another, which is moved aside.

    A process that is killed between the two renames leaves the old folder aside; the
    next run finds and restores it.
    """
    if not os.path.lexists(target):
        new.replace(target)
        return
    target.replace(aside)
    try:
        new.replace(target)
    except OSError:
        aside.replace(target)
        raise


def _keep_others(replaced: Path, target: Path, owned: Sequence[str]) -> None:
    if not replaced.is_dir():
        return
    for left in replaced.iterdir():
        of_a_model = any(left.match(pattern) for pattern in owned)
        if not of_a_model and not (target / left.name).exists():
            left.replace(target / left.name)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the system can."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
