"""A folder of things that are costly to obtain and made once for all test runs."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def folder() -> Path:
    """Return the cache folder: ``APRHUB_TEST_CACHE``, else one under the home."""
    chosen = os.environ.get("APRHUB_TEST_CACHE")
    path = Path(chosen) if chosen else Path.home() / ".cache" / "aprhub-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def made(name: str, make: Callable[[Path], None]) -> Path:
    """Return the cached folder `name`; the first to ask for it fills it with `make`.

    Several processes may ask at once: one makes, the others wait. The folder
    appears under its name when it is complete, never before.
    """
    target = folder() / name
    if target.is_dir():
        return target
    with _locked(folder() / f".{name}.lock"):
        if not target.is_dir():
            _make(target, make)
    return target


def _make(target: Path, make: Callable[[Path], None]) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        make(unfinished)
        unfinished.chmod(0o755)
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
