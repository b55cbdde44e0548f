"""Checkpoints: what a run leaves behind, each complete in itself."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from aprhub.ir.model import LineageStep
from aprhub.pretraining.products import Product, Weights

FOLDER: Final = "checkpoints"

_NAME = re.compile(r"step-(\d{6,})(\.\w+)?")


@frozen
class Checkpoints:
    """The checkpoints of a run, in a folder of it, of which the last `keep` stay.

    `step` is the operation in the lineage of each but for its losses.
    """

    folder: Path
    keep: int
    product: Product
    step: LineageStep

    def path(self, number: int) -> Path:
        """Return where the checkpoint of a step is."""
        return self.folder / f"step-{number:06}{self.product.suffix}"

    def write(self, number: int, weights: Weights, losses: Mapping[str, Any]) -> None:
        """Write the checkpoint of a step; raises as its product does."""
        told = {**self.step.options, "step": number, **losses}
        step = evolve(self.step, options=told)
        self.product.save(weights, self.path(number), step)

    def forget(self, best: int) -> None:
        """Remove all but the last, and the one of the best step."""
        found = sorted(self._numbered())
        for number, path in found[: -self.keep]:
            if number != best:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _numbered(self) -> Iterator[tuple[int, Path]]:
        for path in self.folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match:
                yield int(match[1]), path
