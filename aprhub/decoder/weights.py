"""Puts the tensors of a model into a decoder: all of them, and nothing made up."""

import math
from collections.abc import Callable, Mapping
from typing import Final

import torch
from attrs import frozen
from torch import nn

from aprhub.decoder.model import Decoder
from aprhub.decoder.plan import Plan
from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.encoding import ENCODINGS
from aprhub.ir.model import ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.spec.family import Family

POPULATION: Final = "FALSIFY-APR-PRETRAIN-INIT-007"
"""The rule of the reference that a model starts from all of a checkpoint or not."""


@frozen
class Loaded:
    """A decoder with the weights of a model.

    `extras` are the tensors that are no parameter of it, `shapes` those of all that
    are, whatever was made of them when they were loaded.
    """

    decoder: Decoder
    extras: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return sum(map(math.prod, self.shapes.values()))


def loaded(
    model: ModelIR,
    family: Family,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    prepare: Callable[[Decoder], object] | None = None,
) -> Loaded:
    """Return the decoder of a model, ready to run.

    Tensors are decoded and cast one by one. `prepare` is given the decoder while it
    has no weights yet. Raises ModelCheckError where the decoder
    cannot compute the family, and where weights are missing or of another shape.
    """
    with torch.device("meta"):
        decoder = Decoder(Plan.of(model.config, family, model.tensors))
    if prepare is not None:
        prepare(decoder)
    shapes = _shapes(decoder)
    extras = populate(decoder, model.tensors, dtype=dtype, device=device)
    return Loaded(decoder.eval(), extras, shapes)


def populate(
    decoder: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> tuple[str, ...]:
    """Give every parameter the values of the tensor of its name; return the others.

    Raises ModelCheckError with all names that are missing or have another shape;
    nothing is changed then.
    """
    shapes = _shapes(decoder)
    faults = [
        fault
        for name, shape in shapes.items()
        if (fault := _fault(name, shape, tensors.get(name)))
    ]
    if faults:
        what = "the checkpoint does not hold the weights of the model"
        raise ModelCheckError(POPULATION, what, faults)
    for name in shapes:
        values = _values(tensors[name]).to(device, dtype)
        decoder.load_state_dict({name: values}, strict=False, assign=True)
    return tuple(name for name in tensors if name not in shapes)


_WHOLE: Final = "get the whole model again"


def _shapes(decoder: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(each.shape) for name, each in decoder.named_parameters()}


def _fault(name: str, shape: tuple[int, ...], tensor: Tensor | None) -> Fault | None:
    if tensor is None:
        return Fault(name, "not present in init APR", _WHOLE)
    if tensor.shape != shape:
        return Fault(name, f"has shape {tensor.shape}, expected {shape}", _WHOLE)
    return None


def _values(tensor: Tensor) -> torch.Tensor:
    """Return the values in f32, which holds those of every encoding of weights."""
    return torch.from_numpy(tensor.cast(ENCODINGS["f32"]).numpy())
