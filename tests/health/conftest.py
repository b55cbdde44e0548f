from pathlib import Path

import pytest
from attrs import evolve, frozen

from aprhub import Registry, save_model
from aprhub.lift import decodable
from aprhub.testing.models import PICOS


@frozen
class Bases:
    """Sound models, which tests do not change, and all plugins."""

    folder: Path
    registry: Registry

    def of(self, suffix: str, name: str = "qwen2") -> Path:
        """Return a pico model in the format of a suffix, made when first wanted."""
        path = self.folder / f"{name}{suffix}"
        if not path.exists():
            model = PICOS[name].model(self.registry)
            tensors = decodable(model.tensors, self.registry)
            save_model(evolve(model, tensors=tensors), path, registry=self.registry)
        return path


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    return Bases(tmp_path_factory.mktemp("bases"), Registry.load())
