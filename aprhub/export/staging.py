"""Staging: a hidden folder beside the target, and putting its files in place.

Nothing of an output stands under its own name until all of it has been written and
judged. A staging folder whose process died is recognised by its lock and removed by
the next run on the same target.
"""

import contextlib
import os
import re
import secrets
import shutil
import sys
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

    def bring(self, owned: Sequence[str]) -> None:
        """Link what the target's folder holds into the new one, unless it is owned.

        Raises EnvironmentFailureError when that fails.
        """
        try:
            _bring_others(self.target, self.opened, owned)
        except OSError as error:
            raise EnvironmentFailureError(
                f"{self.target}: what it holds cannot be linked: {error}; write to a"
                " new folder"
            ) from error

    def publish(self, names: Sequence[str], owned: Sequence[str]) -> None:
        """Put everything in place; the last name last.

        Of a folder that is replaced, files that match none of the patterns `owned`
        stay. Raises EnvironmentFailureError when that fails; then what stood there
        stands there again.
        """
        try:
            if self.is_folder:
                _bring_others(self.target, self.opened, owned)
                _exchange(self.opened, self.target, self.folder / REPLACED)
            else:
                _replace_all(self.folder, self.target.parent, names)
            sync_folder(self.target.parent)
        except OSError as error:
            raise EnvironmentFailureError(
                f"{self.target}: could not put the output in place: {error}; write it"
                " elsewhere"
            ) from error


@contextlib.contextmanager
def staged(
    target: Path, *, is_folder: bool, key: str | None = None
) -> Iterator[Staging]:
    """Give a staging folder in the target's own folder, and remove it afterwards.

    With a key, an interruption or a failure of the machine leaves it, and the next call
    with the same key finds it again. Raises EnvironmentFailureError when the folder
    cannot be made, or another process works in it.
    """
    parent = target.absolute().parent
    prefix = f".{target.name}."
    with contextlib.ExitStack() as stack:
        try:
            remove_abandoned(target, f"{prefix}{key}{SUFFIX}")
            folder = _claimed(parent, prefix, key, stack)
        except OSError as error:
            why = f"{parent}: cannot write there: {error.strerror}"
            raise EnvironmentFailureError(
                f"{why}; write to another folder"
                if parent.is_dir()
                else f"{why}; make the folder first"
            ) from error
        staging = Staging(folder, parent / target.name, is_folder)
        if is_folder:
            staging.opened.mkdir(exist_ok=True)
        yield staging


@contextlib.contextmanager
def _removed(folder: Path, *, unless_interrupted: bool) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        interrupted = isinstance(error, OSError | EnvironmentFailureError)
        interrupted |= not isinstance(error, Exception)
        if not (interrupted and unless_interrupted):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


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


def remove_abandoned(target: Path, kept: str) -> None:
    """Remove staging folders of this target whose process is gone, but for one."""
    parent = target.absolute().parent
    ours = re.compile(rf"\.{re.escape(target.name)}\.[^.]+{re.escape(SUFFIX)}")
    for folder in parent.iterdir():
        if not ours.fullmatch(folder.name) or folder.name == kept:
            continue
        with contextlib.suppress(OSError):
            folder.rmdir()  # one that died before it had a lock is empty
        with contextlib.suppress(OSError), (folder / LOCK).open("rb") as lock:
            if _lock(lock):
                _restore(folder / REPLACED, target)
                shutil.rmtree(folder, ignore_errors=True)


def _restore(replaced: Path, target: Path) -> None:
    if replaced.exists() and not os.path.lexists(target):
        replaced.replace(target)


def _claimed(
    parent: Path, prefix: str, key: str | None, stack: contextlib.ExitStack
) -> Path:
    """Make a folder that is locked, and removed when the stack unwinds.

    Until it is locked, another run may take it for abandoned; then there is a new one.
    """
    while True:
        folder = parent / f"{prefix}{key or secrets.token_urlsafe(6)}{SUFFIX}"
        # Before it is there, since a signal may come as soon as it is.
        stack.enter_context(_removed(folder, unless_interrupted=key is not None))
        folder.mkdir(0o700, exist_ok=key is not None)
        with contextlib.suppress(FileNotFoundError):
            lock = stack.enter_context((folder / LOCK).open("wb"))
            locked = _lock(lock) or sys.platform == "win32"
            if key is not None and not locked:
                what = f"{folder}: another process is writing this output; wait for it"
                raise EnvironmentFailureError(what)
            stack.enter_context(_removed(folder, unless_interrupted=key is not None))
            if locked and (folder / LOCK).exists():
                return folder


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
    """Rename each file into place; unless all are, put back what stood there."""
    with contextlib.ExitStack() as undo:
        for name in names:
            backup = source / f"{name}{REPLACED}"
            if os.path.lexists(folder / name):
                _link(folder / name, backup)
            undo.callback(_put_back, backup, folder / name, source / name)
            (source / name).replace(folder / name)
        undo.pop_all()


def _put_back(backup: Path, place: Path, staged: Path) -> None:
    """Undo one replacement, if it was made: then the staged file is gone."""
    if os.path.lexists(backup):
        backup.replace(place)
    elif not staged.exists():
        place.unlink(missing_ok=True)


def _exchange(new: Path, target: Path, aside: Path) -> None:
    """Put a folder in place of another, which is moved aside.

    A process that is killed between the two renames leaves the old folder aside; the
    next run finds and restores it.
    """
    with contextlib.ExitStack() as undo:
        undo.callback(_restore, aside, target)
        if os.path.lexists(target):
            target.replace(aside)
        new.replace(target)
        undo.pop_all()


def _bring_others(target: Path, new: Path, owned: Sequence[str]) -> None:
    """Give the new folder the files of the old one that are not of a model.

    They are linked, not moved, so that the old folder is whole until it is replaced.
    """
    for left in target.iterdir() if target.is_dir() else ():
        of_a_model = any(left.match(pattern) for pattern in owned)
        if of_a_model or (new / left.name).exists():
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.copytree(left, new / left.name, symlinks=True, copy_function=_link)
        else:
            _link(left, new / left.name)


def _link(source: os.PathLike[str] | str, target: os.PathLike[str] | str) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the system can."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
