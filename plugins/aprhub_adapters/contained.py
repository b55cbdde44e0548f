"""Adapters in an APR file: pairs named as by apr, or as by its trainer.

Alpha is `lora_alpha` of the file's metadata.
"""

from pathlib import Path

from aprhub.api import (
    Adapter,
    AdapterFiles,
    Family,
    StoredAdapter,
    StoredModel,
)
from aprhub_adapters import entrenar, names, pairs
from aprhub_adapters.layouts import CONTAINED
from aprhub_adapters.projections import NAMING


def open_contained(container: StoredModel) -> StoredAdapter:
    """Give the tensors of a container their meaning."""
    known, strangers = pairs.told(container)
    trained = entrenar.has_names(container)
    return StoredAdapter(
        container,
        known if trained else tuple(map(names.of_weight, known)),
        (NAMING.name,) if trained else names.NAMINGS,
        tuple(pairs.alphas(container)),
        strangers=strangers,
    )


def lay_out(adapter: Adapter, family: Family, target: Path) -> AdapterFiles:
    """Return the one file; raises UnrepresentableError as `uniform` does."""
    found = pairs.uniform(adapter, target, CONTAINED.name)
    said = {
        "model_type": "lora_adapter",
        "lora_rank": found.rank,
        "lora_alpha": found.alpha,
    }
    container = StoredModel(
        CONTAINED.format,
        target,
        pairs.named(found.pairs),
        carried={CONTAINED.format: said},
        naming=CONTAINED.naming,
        family=family,
    )
    return AdapterFiles(container, notes=found.notes)
