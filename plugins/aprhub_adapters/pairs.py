"""Pairs whose names are those of a weight and `.lora_a` or `.lora_b`, in and out."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from attrs import frozen

from aprhub.api import (
    Adapter,
    AdapterPart,
    AdapterTensor,
    AlphaClaim,
    Fault,
    LowRank,
    StoredModel,
    Tensor,
    UnrepresentableError,
    UnsupportedFileError,
    combined,
)
from aprhub_adapters import documents, headers

SUFFIXES: Final[Mapping[str, AdapterPart]] = {
    ".lora_a": AdapterPart.A,
    ".lora_b": AdapterPart.B,
}
CONFIG: Final = "adapter_config.json"
SIDECAR: Final = "metadata.json"


def has_pairs(container: StoredModel) -> bool:
    """Return whether a tensor is named as half of a pair."""
    return any(split(name) for name in container.tensors)


def split(name: str) -> tuple[str, AdapterPart] | None:
    """Return the weight that a name belongs to, and as what; None for other names."""
    for suffix, part in SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), part
    return None


def told(
    container: StoredModel,
) -> tuple[tuple[AdapterTensor, ...], tuple[str, ...]]:
    """Return the tensors that are halves of pairs, and the names of the others.

    Raises UnsupportedFileError for matrices that are stored flat: whether those are
    transposed, or scaled already, differs from writer to writer.
    """
    known: list[AdapterTensor] = []
    strangers: list[str] = []
    for name, tensor in container.tensors.items():
        found = split(name)
        if found is None:
            strangers.append(name)
            continue
        if len(tensor.shape) < 2:
            raise UnsupportedFileError(
                container.path,
                f"{name} has shape {tensor.shape}, only matrices are read, since the"
                " writers of flat ones disagree on their order and scale; save A as"
                " (rank, in) and B as (out, rank)",
            )
        known.append(AdapterTensor(name, *found, tensor))
    return tuple(known), tuple(strangers)


def alphas(container: StoredModel) -> Iterator[AlphaClaim]:
    """Yield the places that may say what alpha is: the header, then the sidecars."""
    yield from headers.alphas(container)
    for name in (CONFIG, SIDECAR):
        yield _beside(container.path.parent / name)


def _beside(path: Path) -> AlphaClaim:
    found = documents.read(path)
    if found is None:
        return AlphaClaim(f"{path.name} (not there)")
    return AlphaClaim(f"lora_alpha of {path.name}", found.number("lora_alpha"))


@frozen
class Uniform:
    """Pairs under one alpha, by the name of their weight; s is alpha / r for each."""

    alpha: float
    rank: int
    pairs: Mapping[str, tuple[Tensor, Tensor]]
    notes: tuple[str, ...] = ()


def uniform(adapter: Adapter, target: Path, layout: str) -> Uniform:
    """Return an adapter as pairs with one alpha for all.

    Where pairs differ in it, the B of the rarer ones is scaled. Raises
    UnrepresentableError, naming them, for changes that are no pairs.
    """
    _refuse_more(adapter, target, layout)
    wanted = {name: each.scale * each.rank for name, each in adapter.changes.items()}
    alpha = Counter(wanted.values()).most_common(1)[0][0]
    factors = {name: value / alpha for name, value in wanted.items() if value != alpha}
    pairs = {
        name: (each.a, _scaled(each.b, factors[name]) if name in factors else each.b)
        for name, each in adapter.changes.items()
    }
    note = f"{len(factors)} pairs have another alpha than {alpha:g}: their B is scaled"
    ranks = Counter(each.rank for each in adapter.changes.values())
    rank = ranks.most_common(1)[0][0]
    return Uniform(alpha, rank, pairs, (note,) if factors else ())


def named(pairs: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of pairs under the names of the files."""
    return {
        f"{name}{suffix}": tensor
        for name, pair in pairs.items()
        for suffix, tensor in zip(SUFFIXES, pair, strict=True)
    }


def _refuse_more(adapter: Adapter, target: Path, layout: str) -> None:
    repair = "choose the layout peft, or merge it with 'aprhub adapter merge'"
    faults = [Fault(name, "is replaced", repair) for name in adapter.replacements]
    faults += [Fault(name, "has single rows", repair) for name in adapter.rows]
    faults += [
        Fault(name, f"has a {what}", repair)
        for name, change in adapter.changes.items()
        for what in _extras(change)
    ]
    if faults or not adapter.changes:
        what = f"layout {layout} holds pairs of matrices only"
        raise UnrepresentableError(target, what, faults)


def _extras(change: LowRank) -> Iterator[str]:
    if change.magnitude is not None:
        yield "magnitude (DoRA)"
    if change.bias is not None:
        yield "bias of B"


def _scaled(tensor: Tensor, factor: float) -> Tensor:
    return combined(lambda values: np.float32(factor) * values, [tensor])
