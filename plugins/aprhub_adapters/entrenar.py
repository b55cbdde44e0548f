"""Folders of the entrenar trainer: `model.safetensors` beside `metadata.json`.

Tensors are `lora.{layer}.{projection}.lora_a` `(r, in)` and `.lora_b` `(out, r)`. The
sidecar has rank and alpha; the classification trainer has them in an
`adapter_config.json` instead.
"""

import re
from pathlib import Path
from typing import Final

from aprhub.api import (
    Adapter,
    AdapterFiles,
    Family,
    StoredAdapter,
    StoredModel,
)
from aprhub_adapters import documents, pairs
from aprhub_adapters.layouts import ENTRENAR
from aprhub_adapters.projections import NAMING

WEIGHTS: Final = "model.safetensors"

_NAME = re.compile(r"lora\.\d+\.\w+\.lora_[ab]")


def has_names(container: StoredModel) -> bool:
    """Return whether a tensor is named as the trainer does it."""
    return any(_NAME.fullmatch(name) for name in container.tensors)


def open_entrenar(container: StoredModel) -> StoredAdapter:
    """Give the tensors of a container their meaning."""
    known, strangers = pairs.told(container)
    alphas = tuple(pairs.alphas(container))
    return StoredAdapter(container, known, (NAMING.name,), alphas, strangers=strangers)


def lay_out(adapter: Adapter, _family: Family, target: Path) -> AdapterFiles:
    """Return the files of an adapter; raises UnrepresentableError as `uniform` does."""
    found = pairs.uniform(adapter, target, ENTRENAR.name)
    said = {
        "task": "instruct",
        "lora_rank": found.rank,
        "lora_alpha": found.alpha,
    }
    container = StoredModel(ENTRENAR.format, target, pairs.named(found.pairs))
    texts = {pairs.SIDECAR: documents.written(said)}
    return AdapterFiles(container, WEIGHTS, texts, found.notes)
