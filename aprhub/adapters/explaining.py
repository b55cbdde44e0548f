"""Explains a merged model: what was added to its base, and whether that was right."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from aprhub import conversion
from aprhub.adapters.changes import changed, difference, refuse_unlike
from aprhub.adapters.matching import MatchOptions
from aprhub.adapters.merging import asked
from aprhub.adapters.operations import fitted
from aprhub.adapters.truncation import effective_rank
from aprhub.conversion import Opened
from aprhub.ir.adapter import Adapter
from aprhub.ir.encoding import F32
from aprhub.ir.lowrank import LowRank
from aprhub.lift import LiftOptions
from aprhub.registry import Registry
from aprhub.report import SCHEMA

ENERGY: Final = 0.99
"""The share of a change's squared norm that counts for its effective rank."""

ALIKE: Final = 0.5
"""The cosine from which a change is taken for a product; others have almost none."""

SAME_SCALE: Final = 0.05
"""How far, relatively, the scale of a change may be from the adapter's."""

RIGHT: Final = "the product of the adapter"
ASKED: Final = "what the adapter asks for"
SCALED: Final = "the product of the adapter, at another scale"
TRANSPOSED: Final = "the product of the adapter, transposed"
FLAT: Final = "the product of the adapter's matrices, read as if transposed"
OTHER: Final = "no product of the adapter"
UNCHANGED: Final = "not changed, though the adapter has a pair for it"

Array = NDArray[np.float32]


@frozen
class WeightChange:
    """What happened to one weight.

    `share` is the norm of what was added over that of the weight, `effective_rank` how
    many singular values hold 99 % of its squared norm, None for vectors. With an
    adapter, `verdict` says what was added, `scale` how often (by least squares),
    `cosine` how alike both are, `expected_scale` what the adapter says.
    """

    name: str
    share: float
    effective_rank: int | None = None
    verdict: str | None = None
    scale: float | None = None
    cosine: float | None = None
    expected_scale: float | None = None

    @property
    def is_right(self) -> bool:
        """Whether the change is what the adapter asks for, or nothing was asked."""
        return self.verdict in (None, RIGHT, ASKED)


@frozen
class Explanation:
    """What a merge did: the changed weights, out of how many."""

    weights: int
    changes: tuple[WeightChange, ...]

    @property
    def is_right(self) -> bool:
        """Whether every change is what the adapter asks for."""
        return all(each.is_right for each in self.changes)

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as JSON-like data."""
        return {"schema": SCHEMA, "right": self.is_right, **asdict(self)}


def explained(
    paths: tuple[Path, Path, Path | None], registry: Registry, match: MatchOptions
) -> Explanation:
    """Compare a base, a merged model and, where there is one, the adapter.

    Raises ModelCheckError for models that are not built alike, and what opening and
    matching the adapter raise.
    """
    base, merged = (
        conversion.opened(path, registry, LiftOptions()) for path in paths[:2]
    )
    refuse_unlike(base, merged)
    adapter = Adapter()
    if paths[2] is not None:
        adapter = fitted(paths[2], base, registry, match, None).matched.adapter
    return Explanation(
        len(base.found.model.tensors), tuple(_changes(base, merged, adapter))
    )


def _changes(base: Opened, merged: Opened, adapter: Adapter) -> Iterator[WeightChange]:
    seen = set()
    wanted = asked(base.found.model, adapter)
    pairs = {
        name: change
        for name, change in adapter.changes.items()
        if change.magnitude is None and name not in adapter.replacements
    }
    for name, before, after in changed(base, merged):
        seen.add(name)
        delta = difference(before, after)
        share = _norm(delta.numpy()) / (_norm(before.cast(F32).numpy()) or 1.0)
        rank = effective_rank(delta, ENERGY) if len(delta.shape) == 2 else None
        if name in pairs:
            told = _judged(delta.numpy(), pairs[name])
            yield WeightChange(name, share, rank, *told, pairs[name].scale)
        elif name in wanted:
            verdict = _compared(delta.numpy(), difference(before, wanted[name]).numpy())
            yield WeightChange(name, share, rank, verdict)
        else:
            yield WeightChange(name, share, rank, OTHER if wanted else None)
    for name, change in adapter.changes.items():
        if name not in seen:
            yield WeightChange(
                name, 0.0, verdict=UNCHANGED, expected_scale=change.scale
            )


def _compared(delta: Array, wanted: Array) -> str:
    """Say whether what was added is what was asked for, but for an encoding's noise."""
    size, both = _norm(wanted) or 1.0, float(np.vdot(delta, wanted))
    cosine = both / (size * (_norm(delta) or 1.0))
    right = cosine > ALIKE and abs(both / size**2 - 1) <= SAME_SCALE
    return ASKED if right else OTHER


def _judged(delta: Array, change: LowRank) -> tuple[str, float, float]:
    """Return what was added, its scale by least squares, and the cosine of both."""
    best = (OTHER, 0.0, 0.0)
    for verdict, product in _products(change):
        both = float(np.vdot(delta, product))
        size = _norm(product)
        cosine = both / ((_norm(delta) * size) or 1.0)
        if abs(cosine) > max(ALIKE, abs(best[2])):
            best = verdict, both / size**2, cosine
    verdict, scale, cosine = best
    if verdict == RIGHT and abs(scale / change.scale - 1) > SAME_SCALE:
        return SCALED, scale, cosine
    return best


def _products(change: LowRank) -> Iterator[tuple[str, Array]]:
    """Yield what can have been added; the wrong ones where they have the right size."""
    a, b = change.a.cast(F32).numpy(), change.b.cast(F32).numpy()
    product = b @ a
    yield RIGHT, product
    if product.shape[0] == product.shape[1]:
        yield TRANSPOSED, product.T
    rows, columns = change.shape
    flat = a.reshape(columns, -1) @ b.reshape(-1, rows)
    yield FLAT, flat.reshape(rows, columns)
    yield FLAT, flat.T


def _norm(values: NDArray[Any]) -> float:
    return float(np.linalg.norm(values.reshape(-1).astype(np.float64)))
