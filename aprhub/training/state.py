"""State: all that a training needs to go on exactly where it was, in one file.

The file is a safetensors file: the weights that are trained, and both averages that
AdamW keeps of their gradients. Nothing random is left to be kept: the order of the text
follows from seed and step, and nothing is dropped out.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from attrs import frozen
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from aprhub.errors import CorruptFileError, EnvironmentFailureError
from aprhub.training.optimizer import trained
from aprhub.training.progress import Progress
from aprhub.training.sharding import part_of

WEIGHT: Final = "weight/"
AVERAGES: Final = ("exp_avg", "exp_avg_sq")
"""What torch's AdamW calls its averages of gradients, and of their squares."""

ANEW: Final = "begin another --run-dir, from the last checkpoint"
"""What to do about a state that no run can go on from."""

_PROGRESS: Final = "progress"
_TOLD: Final = "told"


@frozen
class State:
    """The file of a run that another process can go on from."""

    path: Path

    def save(
        self,
        decoder: nn.Module,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        told: Mapping[str, Any],
    ) -> None:
        """Write the state in place of the last one, whole or not at all.

        `told` is what the run was asked for. Raises EnvironmentFailureError when the
        machine cannot; then the last one stands.
        """
        metadata = {
            _PROGRESS: json.dumps(progress.as_json()),
            _TOLD: json.dumps(told, sort_keys=True),
        }
        partial = self.path.with_name(f".{self.path.name}.partial")
        try:
            save_file(tensors_of(decoder, optimizer), partial, metadata)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(self.path)
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise EnvironmentFailureError(
                f"{self.path}: the state of step {progress.step} could not be written:"
                f" {error}; make room there, or get the right to write, and start again"
                " with --resume"
            ) from error

    def described(self) -> tuple[Progress, Mapping[str, Any]]:
        """Return how far the run was, and what it was asked for.

        Raises CorruptFileError for a file that says neither.
        """
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
            progress = Progress.of(json.loads(metadata[_PROGRESS]))
            told: Mapping[str, Any] = json.loads(metadata[_TOLD])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            what = f"no state of a run: {error}"
            raise CorruptFileError(self.path, what, repair=ANEW) from error
        return progress, told

    def load(
        self, decoder: nn.Module, optimizer: torch.optim.Optimizer, step: int
    ) -> None:
        """Put weights and averages back, those of a step, where they were.

        Raises CorruptFileError where the file is of another model.
        """
        with safe_open(self.path, "pt") as file, torch.no_grad():
            for name, parameter in trained(decoder).items():
                parameter.copy_(self._stored(file, WEIGHT + name, parameter))
                averages = {
                    each: self._stored(file, f"{each}/{name}", parameter)
                    for each in AVERAGES
                }
                put_back(optimizer, parameter, averages, step)

    def _stored(self, file: Any, name: str, like: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor | None = None
        if name in file.keys():  # noqa: SIM118  # the file is no mapping
            found = file.get_tensor(name)
        if found is None or found.shape != like.shape:
            what = f"it has no {name} of shape {tuple(like.shape)}"
            what = f"{what}, which the model has"
            raise CorruptFileError(self.path, what, repair=ANEW)
        return part_of(found.to(like.device), like)


def put_back(
    optimizer: torch.optim.Optimizer,
    parameter: nn.Parameter,
    averages: Mapping[str, torch.Tensor],
    step: int,
) -> None:
    """Let an optimiser remember a parameter's averages, and how many steps it did."""
    count = torch.tensor(float(step), device=parameter.device)
    optimizer.state[parameter] = {"step": count, **averages}


def tensors_of(
    decoder: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Return weights and averages by their names in a state; new ones are zero."""
    found: dict[str, torch.Tensor] = {}
    for name, parameter in trained(decoder).items():
        found[WEIGHT + name] = parameter.detach()
        kept = optimizer.state.get(parameter, {})
        for each in AVERAGES:
            average = kept.get(each)
            empty = torch.zeros_like(parameter)
            found[f"{each}/{name}"] = empty if average is None else average
    return found
