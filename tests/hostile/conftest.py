"""What every hostile input is tried under: a bound on memory."""

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOM: Final = 512 * 2**20
"""How much address space a command may take, in bytes, beyond what is in use."""


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    """Make an allocation by an unchecked number of a file fail, whatever it is."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    used = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the working folder, too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
