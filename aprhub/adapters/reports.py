"""What was done with adapters, for people and for programs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from aprhub.errors import Fault
from aprhub.report import Report


@frozen
class AdapterUse:
    """How one adapter fitted a base.

    `matched` counts the weights that it changes or replaces; `unmatched` and `orphans`
    are the tensors that were left out, each with the reason.
    """

    path: Path
    layout: str
    tensors: int
    matched: int
    alpha_from: str | None
    weight: float = 1.0
    unmatched: tuple[Fault, ...] = ()
    orphans: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like data."""
        return {
            "path": str(self.path),
            "layout": self.layout,
            "tensors": self.tensors,
            "matched": self.matched,
            "alpha_from": self.alpha_from,
            "weight": self.weight,
            "unmatched": list(map(str, self.unmatched)),
            "orphans": list(map(str, self.orphans)),
            "notes": list(self.notes),
        }


@frozen
class MergeReport:
    """What a merge of adapters did.

    `layers` counts the tensors that the base's files have. `merged` maps canonical
    names of changed weights to the rank and scale of the change. Pairs `without_effect`
    are zero, and what `vanished` was less than its encoding can tell.
    """

    written: Report
    adapters: tuple[AdapterUse, ...]
    layers: int
    merged: Mapping[str, str]
    replaced: tuple[str, ...] = ()
    without_effect: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The one line that counts."""
        return f"Layers merged {len(self.merged)}/{self.layers}"

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-like data: that of the writing, and more."""
        merge = {
            "layers_merged": len(self.merged),
            "layers": self.layers,
            "merged": dict(self.merged),
            "replaced": list(self.replaced),
            "without_effect": list(self.without_effect),
            "vanished": list(self.vanished),
            "adapters": [each.as_json() for each in self.adapters],
            "notes": list(self.notes),
        }
        return {**self.written.as_json(), "merge": merge}
