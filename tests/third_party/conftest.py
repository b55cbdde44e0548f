import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.third_party.distributions import Program, fake

SOURCES = Path(__file__).parent / "npz"

# A project of its own, which is tested where it is installed.
collect_ignore = ["npz"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the outside plugin, as its author would."""
    folder = tmp_path_factory.mktemp("npz")
    project = shutil.copytree(SOURCES, folder / "project")
    options = ("--no-isolation", "--wheel", "--outdir", folder)
    _run_python("-m", "build", *options, project)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the outside plugin into a folder of its own, beside aprhub."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--no-index", "--no-deps", "--quiet", "--disable-pip-version-check"]
    _run_python("-m", "pip", "install", *options, "--target", folder, wheel)
    return folder


def _run_python(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return the program, in which no plugin but the installed ones is found."""
    return Program(tmp_path)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Path]:
    """Return what makes a distribution with one plugin, and the folder it is in."""

    def make(name: str, source: str, entry: str = "") -> Path:
        folder = tmp_path / "plugins"
        fake(folder, name, source, entry or name)
        return folder

    return make
