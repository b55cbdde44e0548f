from pathlib import Path

import numpy as np
import pytest
from attrs import evolve, frozen

from aprhub import ModelIR, Registry, Tensor, save_model
from aprhub.lift import decodable
from aprhub.testing.models import PICOS


@frozen
class Models:
    """Files of models, which tests do not change."""

    folder: Path
    registry: Registry

    def pico(self, name: str) -> ModelIR:
        model = PICOS[name].model(self.registry)
        return evolve(model, tensors=decodable(model.tensors, self.registry))

    def file(self, name: str, suffix: str) -> Path:
        """Return a pico model in the format of a suffix, made when first wanted."""
        path = self.folder / f"{name}{suffix}"
        if not path.exists():
            save_model(self.pico(name), path, registry=self.registry)
        return path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("models"), Registry.load())


@pytest.fixture(scope="session")
def gguf(models: Models) -> Path:
    return models.file("llama", ".gguf")


@pytest.fixture(scope="session")
def apr(models: Models) -> Path:
    return models.file("llama", ".apr")


@pytest.fixture(scope="session")
def folder(models: Models) -> Path:
    return models.file("llama", "")


@pytest.fixture(scope="session")
def extreme(models: Models) -> Path:
    """Return a model with values that f16 cannot hold: two too large, one too small."""
    model = models.pico("llama")
    values = model.tensors["embed.weight"].numpy().copy()
    values[0, :3] = 70_000, -1e30, 1e-12
    tensors = {**model.tensors, "embed.weight": Tensor.of(values.astype(np.float32))}
    path = models.folder / "extreme.apr"
    save_model(evolve(model, tensors=tensors), path, registry=models.registry)
    return path
