"""Says what an adapter holds, without any base."""

from pathlib import Path
from typing import Any

from aprhub.adapters.opening import open_adapter
from aprhub.registry import Registry
from aprhub.report import SCHEMA
from aprhub.spec.adapter import AdapterPart


def inspected(path: Path, registry: Registry, layout: str | None) -> dict[str, Any]:
    """Return the layout, tensors and claims of an adapter as JSON-like data."""
    found, stored = open_adapter(path, registry, layout)
    halves = (each.tensor for each in stored.tensors if each.part is AdapterPart.A)
    ranks = {rank for tensor in halves for rank in tensor.shape[:1]}
    return {
        "schema": SCHEMA,
        "path": str(path),
        "layout": found.name,
        "namings": list(stored.namings),
        "ranks": sorted(ranks),
        "alpha": [{"where": e.where, "value": e.value} for e in stored.alphas],
        "rank_stabilised": stored.rank_stabilised,
        "tensors": [
            {
                "name": each.stored,
                "weight": each.weight,
                "part": str(each.part),
                "shape": list(each.tensor.shape),
                "encoding": each.tensor.encoding.name,
                "alpha": each.alpha,
            }
            for each in stored.tensors
        ],
        "strangers": list(stored.strangers),
        "notes": list(stored.notes),
    }
