"""Checkpoints: models that a run leaves behind, each complete in itself."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from aprhub.conversion import save_model
from aprhub.ir.model import LineageStep, ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.options import ConvertOptions
from aprhub.pretraining.options import PretrainOptions
from aprhub.registry import Registry

FOLDER: Final = "checkpoints"

_NAME = re.compile(r"step-(\d{6,})(\.\w+)?")


@frozen
class Checkpoints:
    """The checkpoints of a run, in a folder of it.

    `model` is all of a checkpoint but its tensors, and `step` the operation in its
    lineage but for its losses.
    """

    folder: Path
    options: PretrainOptions
    model: ModelIR
    step: LineageStep
    registry: Registry

    def path(self, number: int) -> Path:
        """Return where the checkpoint of a step is."""
        found = self.registry.format(self.options.target_format)
        suffix = "" if found.writes_folder else found.extensions[0]
        return self.folder / f"step-{number:06}{suffix}"

    def write(
        self, number: int, tensors: Mapping[str, Tensor], losses: Mapping[str, Any]
    ) -> Path:
        """Write the checkpoint of a step, by the road of all models, and return it.

        Raises an AprhubError; then what stood there stands there still.
        """
        told = {**self.step.options, "step": number, **losses}
        provenance = self.model.provenance.extended(evolve(self.step, options=told))
        model = evolve(self.model, tensors=tensors, provenance=provenance)
        options = ConvertOptions(target_format=self.options.target_format, force=True)
        save_model(model, self.path(number), options, self.registry)
        return self.path(number)

    def forget(self, best: int) -> None:
        """Remove all but the last, and the one of the best step."""
        found = sorted(self._numbered())
        for number, path in found[: -self.options.keep]:
            if number != best:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _numbered(self) -> Iterator[tuple[int, Path]]:
        for path in self.folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match:
                yield int(match[1]), path
