"""Pairs whose names are that of a weight and `.lora_a` or `.lora_b`."""

from collections.abc import Iterable, Mapping
from typing import Final

from aprhub.api import AdapterTensor, Part, Tensor

SUFFIXES: Final[Mapping[str, Part]] = {".lora_a": Part.A, ".lora_b": Part.B}


def split(name: str) -> tuple[str, Part] | None:
    """Return the weight that a name belongs to, and as what; None for other names."""
    for suffix, part in SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), part
    return None


def told(
    tensors: Iterable[tuple[str, Tensor]],
) -> tuple[tuple[AdapterTensor, ...], tuple[str, ...]]:
    """Return the tensors that are halves of pairs, and the names of the others."""
    known: list[AdapterTensor] = []
    strangers: list[str] = []
    for name, tensor in tensors:
        found = split(name)
        if found is None:
            strangers.append(name)
        else:
            known.append(AdapterTensor(name, *found, tensor))
    return tuple(known), tuple(strangers)
