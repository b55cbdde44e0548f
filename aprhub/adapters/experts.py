"""Adapters of experts that are stacked as one tensor: what each expert gets of it."""

from attrs import evolve

from aprhub.ir.joining import stacked
from aprhub.ir.tensor import Tensor
from aprhub.spec.adapter import AdapterPart, AdapterTensor


def misfit(told: AdapterTensor, experts: int) -> str:
    """Say why a tensor cannot be shared out among experts; nothing if it can."""
    shape = told.tensor.shape
    if told.part not in (AdapterPart.A, AdapterPart.B):
        return f"a {told.part} is read for no stacked experts"
    if len(shape) == 3 and shape[0] == experts:
        return ""
    shared = shape[0 if told.part is AdapterPart.A else 1] if len(shape) == 2 else 0
    if not experts or not shared or shared % experts:
        return f"{told.part} has shape {shape}, which {experts} experts cannot share"
    return ""


def by_expert(told: AdapterTensor, experts: int) -> AdapterTensor:
    """Return a tensor with the experts along a first dimension."""
    tensor = told.tensor
    if len(tensor.shape) == 3:
        return told
    if told.part is AdapterPart.A:
        rank = tensor.shape[0] // experts
        return evolve(told, tensor=tensor.reshaped(experts, rank, tensor.shape[1]))
    return evolve(told, tensor=_side_by_side(tensor, experts))


def _side_by_side(tensor: Tensor, experts: int) -> Tensor:
    return stacked([tensor.strided(expert, experts) for expert in range(experts)])
