"""Files of package registries: pinned, fetched by the ordinary client, unpacked."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO, Final, Literal

from attrs import frozen

from tests.judges.errors import JudgeError

Registry = Literal["wheel", "sdist", "npm"]

Members = Iterator[tuple[PurePosixPath, IO[bytes]]]

_PIP: Final = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")

_CLIENTS: Final[dict[Registry, tuple[str, ...]]] = {
    "wheel": (*_PIP, "--only-binary=:all:", "--dest={folder}", "{package}=={version}"),
    "sdist": (
        *_PIP,
        "--no-binary={package}",
        "--dest={folder}",
        "{package}=={version}",
    ),
    "npm": (
        "npm",
        "pack",
        "--silent",
        "--pack-destination={folder}",
        "{package}@{version}",
    ),
}


@frozen
class Archive:
    """One file of a package registry."""

    registry: Registry
    package: str
    version: str
    sha256: str

    def fetch(self, folder: Path) -> Path:
        """Download into an empty folder of its own inside `folder`.

        Raises JudgeError when the client fails, with its words, and when the
        file is not the pinned one.
        """
        own = folder / self.sha256[:12]
        own.mkdir()
        _run([part.format(folder=own, **self._fields) for part in self._command])
        (path,) = own.iterdir()
        return verified(path, self.sha256)

    @property
    def _command(self) -> tuple[str, ...]:
        return _CLIENTS[self.registry]

    @property
    def _fields(self) -> dict[str, str]:
        return {"package": self.package, "version": self.version}


def verified(path: Path, sha256: str) -> Path:
    """Return `path`; raises JudgeError when its content is not the pinned one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise JudgeError(f"{path.name}: SHA-256 is {found}, {sha256} is pinned")
    return path


def unpack(archive: Path, patterns: tuple[str, ...], strip: int, folder: Path) -> None:
    """Copy the members that match into `folder`, `strip` leading folders removed.

    A ``*`` in a pattern also matches ``/``.
    """
    with _members(archive) as members:
        for name, content in members:
            if any(fnmatch(str(name), pattern) for pattern in patterns):
                target = folder.joinpath(*name.parts[strip:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)


@contextmanager
def _members(archive: Path) -> Iterator[Members]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            yield _zipped(wheel)
    else:
        with tarfile.open(archive) as ball:
            yield _tarred(ball)


def _zipped(wheel: zipfile.ZipFile) -> Members:
    for info in wheel.infolist():
        if not info.is_dir():
            with wheel.open(info) as content:
                yield PurePosixPath(info.filename), content


def _tarred(ball: tarfile.TarFile) -> Members:
    for info in ball:
        content = ball.extractfile(info) if info.isfile() else None
        if content is not None:
            yield PurePosixPath(info.name), content


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise JudgeError(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        raise JudgeError(f"{' '.join(command)} failed:\n{error.stderr}") from error
