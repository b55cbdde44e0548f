"""One safetensors file with `{tensor of the base}.lora_a` and `.lora_b`.

The names are those of the base's files, whichever these are. Alpha is in the header.
"""

from pathlib import Path
from typing import Final

from attrs import evolve

from aprhub.api import (
    Adapter,
    AdapterFiles,
    AdapterTensor,
    Family,
    StoredAdapter,
    StoredModel,
)
from aprhub_adapters import entrenar, pairs
from aprhub_adapters.layouts import NAMES

NAMINGS: Final = ("hf", "ggml")


def recognises(container: StoredModel) -> bool:
    """Return whether there are pairs that are not named as a trainer does it."""
    return pairs.has_pairs(container) and not entrenar.has_names(container)


def open_names(container: StoredModel) -> StoredAdapter:
    """Give the tensors of a container their meaning."""
    known, strangers = pairs.told(container)
    return StoredAdapter(
        container,
        tuple(map(of_weight, known)),
        NAMINGS,
        tuple(pairs.alphas(container)),
        strangers=strangers,
    )


def of_weight(told: AdapterTensor) -> AdapterTensor:
    """Return a tensor whose weight's name ends as such; some files leave that out."""
    name = told.weight.removesuffix(".weight") + ".weight"
    return evolve(told, weight=name)


def lay_out(adapter: Adapter, _family: Family, target: Path) -> AdapterFiles:
    """Return the one file; raises UnrepresentableError as `uniform` does."""
    found = pairs.uniform(adapter, target, NAMES.name)
    metadata = {"lora_alpha": repr(found.alpha), "lora_rank": str(found.rank)}
    container = StoredModel(
        NAMES.format,
        target,
        pairs.named(found.pairs),
        carried={NAMES.format: {"metadata": metadata}},
    )
    return AdapterFiles(container, notes=found.notes)
