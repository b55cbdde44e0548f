"""Verify: whether a written file is the model that it was made from."""

from pathlib import Path

from aprhub.difference import EQUAL, TensorDifference, compared
from aprhub.errors import Fault, UnrunnableError
from aprhub.ir.tensor import Tensor
from aprhub.lift import KEEP, Lifted, LiftOptions, lifted
from aprhub.registry import Registry
from aprhub.spec.format import Format

LEVELS = ("names", "values", "bytes")


def verified(
    path: Path, fmt: Format, meant: Lifted, registry: Registry, level: str
) -> None:
    """Lift a written file and compare it with what it was made from.

    `names` compares names and shapes; `values` also every value, after the same cast
    where one was made; `bytes` demands the source's encoded bytes. Raises
    UnrunnableError with a fault for each tensor that differs.
    """
    if fmt.open is None:
        return
    family = meant.family.name if meant.family else None
    options = LiftOptions(None if family else KEEP, family)
    found = lifted(fmt.open(path), registry, options).model
    source = meant.model
    faults = [
        Fault(name, "in only one of both")
        for name in found.tensors.keys() ^ source.tensors.keys()
    ]
    for name in sorted(found.tensors.keys() & source.tensors.keys()):
        fault = _fault(name, source.tensors[name], found.tensors[name], level)
        faults += [fault] if fault else []
    if faults:
        raise UnrunnableError(path, f"verification ({level}) failed", faults)


def _fault(name: str, source: Tensor, found: Tensor, level: str) -> Fault | None:
    if source.shape != found.shape:
        return Fault(name, f"has shape {found.shape}, its source {source.shape}")
    if level == "names":
        return None
    if level == "values":
        source = source.cast(found.encoding) if found.encoding.is_plain else source
    result = compared(name, source, found)
    equal = result.outcome == "equal" if level == "bytes" else result.outcome in EQUAL
    return None if equal else _described(result)


def _described(result: TensorDifference) -> Fault:
    error = "" if result.max_error is None else f", off by up to {result.max_error:g}"
    return Fault(result.name, f"{result.outcome} ({result.detail}{error})")
