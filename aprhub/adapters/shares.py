"""What each weight gets of an adapter's tensor that is for several of them.

Weights that are joined have their rows below each other; experts that are stacked have
all of theirs along a dimension of their own, or in PEFT's flat form.
"""

from collections.abc import Iterator
from pathlib import Path

from attrs import evolve

from aprhub.errors import ModelCheckError
from aprhub.ir.config import ModelConfig
from aprhub.ir.joining import stacked
from aprhub.ir.tensor import Tensor
from aprhub.spec.adapter import AdapterPart, AdapterTensor
from aprhub.spec.spelling import Spelling, Transform


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


def shares(
    path: Path, told: AdapterTensor, spelling: Spelling, config: ModelConfig
) -> Iterator[tuple[str, Tensor]]:
    """Yield what a tensor is for each weight, in canonical layout.

    Layouts differ by the rows of weights, which are those of B, of the magnitude and of
    the bias, while A has the columns, as lengths of columns do: weights that are joined
    share it. Raises ModelCheckError where the layout has no form for a change.
    """
    experts = config.num_experts or 0
    if spelling.is_stacked:
        told = _by_expert(told, experts)
    if told.part in (AdapterPart.A, AdapterPart.LENGTHS):
        names = spelling.names(experts)
        yield from zip(names, _columns(told, spelling, experts), strict=True)
        return
    for name, part, rows in spelling.split(told.tensor, config):
        yield name, _lifted(path, told, rows, part.transform, config)


def _columns(told: AdapterTensor, spelling: Spelling, experts: int) -> Iterator[Tensor]:
    """Yield what each weight has the columns of: for experts, each their own."""
    tensor, count = told.tensor, len(spelling.parts)
    if not spelling.is_stacked:
        yield from (tensor,) * count
        return
    for expert in range(experts):
        own = tensor.sliced(expert, expert + 1).reshaped(*tensor.shape[1:])
        yield from (own,) * count


def _lifted(
    path: Path,
    told: AdapterTensor,
    rows: Tensor,
    transform: Transform | None,
    config: ModelConfig,
) -> Tensor:
    if transform is None:
        return rows
    if told.part is not AdapterPart.WHOLE and not transform.packed_safe:
        raise ModelCheckError(
            path,
            f"{told.stored}: no low-rank change can go through {transform.name}; merge"
            " it with what trained it",
        )
    return transform.lift(rows, config)


def _by_expert(told: AdapterTensor, experts: int) -> AdapterTensor:
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
