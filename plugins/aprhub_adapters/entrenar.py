"""Files of the entrenar trainer: `lora.{layer}.{projection}.lora_a` and `.lora_b`.

A is `(r, in)` and B `(out, r)`, row-major. Rank and alpha are in `metadata.json` beside
the file; the classification trainer writes an `adapter_config.json` instead.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aprhub.api import (
    AdapterLayout,
    AlphaClaim,
    Naming,
    Rule,
    StoredAdapter,
    StoredModel,
)
from aprhub_adapters import documents, headers, pairs

WEIGHTS: Final = "model.safetensors"
SIDECAR: Final = "metadata.json"
CONFIG: Final = "adapter_config.json"

_NAME = re.compile(r"lora\.\d+\.\w+\.lora_[ab]")
_LAYER: Final = "lora.{i}."

NAMING: Final = Naming(
    "entrenar",
    (
        Rule(_LAYER + "q_proj", "layers.{i}.attn.q.weight"),
        Rule(_LAYER + "k_proj", "layers.{i}.attn.k.weight"),
        Rule(_LAYER + "v_proj", "layers.{i}.attn.v.weight"),
        Rule(_LAYER + "o_proj", "layers.{i}.attn.o.weight"),
        Rule(_LAYER + "gate_proj", "layers.{i}.ffn.gate.weight"),
        Rule(_LAYER + "up_proj", "layers.{i}.ffn.up.weight"),
        Rule(_LAYER + "down_proj", "layers.{i}.ffn.down.weight"),
    ),
)


def has_names(container: StoredModel) -> bool:
    """Return whether a tensor is named as the trainer does it."""
    return any(_NAME.fullmatch(name) for name in container.tensors)


def open_entrenar(container: StoredModel) -> StoredAdapter:
    """Give the tensors of a container their meaning."""
    known, strangers = pairs.told(container.tensors.items())
    return StoredAdapter(
        container,
        known,
        (NAMING.name,),
        tuple(alphas(container)),
        strangers=strangers,
    )


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


LAYOUT: Final = AdapterLayout(
    "entrenar",
    "a trainer's model.safetensors with lora.{layer}.{projection}.lora_a/_b",
    "safetensors",
    NAMING.name,
    has_names,
    open_entrenar,
    files=(WEIGHTS,),
)
