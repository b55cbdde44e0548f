"""Products: what a run trains of a model, and what it leaves of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import evolve, frozen

from aprhub.conversion import save_model
from aprhub.ir.model import LineageStep, ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.options import ConvertOptions
from aprhub.pretraining.options import TrainingOptions
from aprhub.pretraining.start import Start
from aprhub.registry import Registry

if TYPE_CHECKING:
    from aprhub.decoder.model import Decoder


Weights = Mapping[str, Tensor]
"""What was trained, by the names of parameters."""


class Product(Protocol):
    """What a run trains and leaves: whole models, or what changes one."""

    @property
    def suffix(self) -> str:
        """How the name of a file of it ends; nothing where it is a folder."""

    @property
    def told(self) -> Mapping[str, Any]:
        """What decides what comes out, beside the options of every training."""

    def outline(self, decoder: "Decoder") -> None:
        """Make of a decoder without weights what they are to be loaded into."""

    def prepare(self, decoder: "Decoder") -> None:
        """Let what is trained have gradients, and nothing else."""

    def save(self, weights: Weights, path: Path, step: LineageStep) -> None:
        """Write it with trained weights, made by a step, in place of what stands there.

        Raises an AprhubError; then what stood there stands there still.
        """


@frozen
class WholeModel:
    """A model all of whose weights are trained; `model` is all of it but these."""

    model: ModelIR
    target_format: str
    registry: Registry

    @classmethod
    def of(
        cls, start: Start, options: TrainingOptions, registry: Registry
    ) -> "WholeModel":
        """Return what a start is trained to."""
        return cls(_described(start, options), options.target_format, registry)

    @property
    def suffix(self) -> str:
        """How the name of a file of it ends; nothing where it is a folder."""
        found = self.registry.format(self.target_format)
        return "" if found.writes_folder else found.extensions[0]

    @property
    def told(self) -> Mapping[str, Any]:
        """Nothing: all weights are in the state of a run."""
        return {}

    def outline(self, decoder: "Decoder") -> None:
        """Leave it as it is."""

    def prepare(self, decoder: "Decoder") -> None:
        """Let every parameter be trained."""
        decoder.requires_grad_(True)

    def save(self, weights: Weights, path: Path, step: LineageStep) -> None:
        """Write the model by the road of all models."""
        provenance = self.model.provenance.extended(step)
        model = evolve(self.model, tensors=weights, provenance=provenance)
        options = ConvertOptions(target_format=self.target_format, force=True)
        save_model(model, path, options, self.registry)


def _described(start: Start, options: TrainingOptions) -> ModelIR:
    """Return all of a checkpoint that training does not change."""
    provenance = start.model.provenance
    names = ", ".join(path.name for path in options.dataset)
    before = provenance.data_source
    provenance = evolve(
        provenance,
        data_source=f"{before}; {names}" if before else names,
        data_license=options.data_license or provenance.data_license,
        license=options.license or provenance.license,
    )
    return evolve(start.model, tensors={}, provenance=provenance)
