"""Writing pico models in one format, by the hub's own road."""

from pathlib import Path
from typing import Any, ClassVar

from attrs import evolve, frozen

from aprhub.api import Bytes, Encoding, FileRange, Format, ModelIR, Tensor
from aprhub.front import save_model
from aprhub.lift import decodable
from aprhub.options import ConvertOptions
from aprhub.registry import Registry
from aprhub.report import Report
from aprhub.testing.models import PICOS


@frozen
class Saver:
    """Writes models in a format that a registry has."""

    format: Format
    registry: Registry

    def pico(self, name: str, **chosen: Any) -> ModelIR:
        """Return a pico model; its quantised tensors can be decoded."""
        model = PICOS[name].model(self.registry, **chosen)
        return evolve(model, tensors=decodable(model.tensors, self.registry))

    def target(self, folder: Path) -> Path:
        """Return where a model is written in a folder."""
        suffix = "" if self.format.writes_folder else suffix_of(self.format)
        return folder / f"model{suffix}"

    def report(self, model: ModelIR, folder: Path, **options: Any) -> Report:
        """Write a model into a folder and return the report."""
        folder.mkdir(exist_ok=True)
        chosen = ConvertOptions(target_format=self.format.name, **options)
        target = self.target(folder)
        return save_model(model, target, chosen, registry=self.registry)

    def save(self, model: ModelIR, folder: Path, **options: Any) -> Path:
        """Write a model into a folder and return its path."""
        self.report(model, folder, **options)
        return self.target(folder)


def suffix_of(format: Format) -> str:
    """Return the first extension of a format, or nothing."""
    return format.extensions[0] if format.extensions else ""


def interrupting(model: ModelIR) -> ModelIR:
    """Return the model with a late tensor that cannot be read."""
    name, tensor = list(model.tensors.items())[-2]
    broken = unreadable(tensor.shape, tensor.encoding)
    return evolve(model, tensors={**model.tensors, name: broken})


def unreadable(shape: tuple[int, ...], encoding: Encoding) -> Tensor:
    """Return a tensor whose reading is interrupted, as by a user."""
    return Tensor(shape, encoding, _Interrupting(encoding.nbytes(shape)))


@frozen
class _Interrupting:
    nbytes: int
    granule: ClassVar[int] = 1

    def read_into(self, start: int, out: Bytes) -> None:
        raise KeyboardInterrupt

    def segments(self) -> tuple[FileRange, ...] | None:
        return None
