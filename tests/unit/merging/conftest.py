from collections.abc import Callable
from pathlib import Path

import pytest

from tests.judges import tuned

Write = Callable[[str], Path]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a base and two models tuned from it; nobody changes it."""
    path = tmp_path_factory.mktemp("tuned")
    tuned.saved(path, num_layers=4)
    return path


@pytest.fixture
def recipe(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return what writes a recipe, in which models are called as in the folder."""
    monkeypatch.chdir(folder)

    def write(text: str) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(text, "utf-8")
        return path

    return write
