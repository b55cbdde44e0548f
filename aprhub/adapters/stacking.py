"""Several adapters made into one, as PEFT's `add_weighted_adapter` defines it.

`cat` is the exact sum of the changes, `svd` that sum cut to a rank. `linear`, `ties`,
`dare_linear`, `dare_ties` and `magnitude_prune` mix the matrices A with each other and
the matrices B with each other; with `_svd` after their name, they mix the products.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.adapters.truncation import truncated_product, truncated_svd
from aprhub.errors import (
    Fault,
    UnrepresentableError,
    UsageError,
    near_miss,
)
from aprhub.ir.adapter import Adapter
from aprhub.ir.encoding import F32
from aprhub.ir.joining import combined, concatenated
from aprhub.ir.lowrank import LowRank
from aprhub.ir.model import EMBEDDING
from aprhub.ir.tensor import Tensor
from aprhub.ir.tokenizer import Tokenizer

Array = NDArray[np.float32]

MIXED = ("ties", "dare_linear", "dare_ties", "magnitude_prune")
MODES = ("cat", "linear", "svd", *MIXED, *(f"{mode}_svd" for mode in MIXED))


@frozen
class Stacking:
    """How adapters are made into one.

    `weights` are those of the adapters in turn, 1 each without any. `density` is the
    share of values that pruning keeps, `rank` that of a mode with `svd` (else the
    largest of the adapters'), `seed` that of a mode with `dare`.
    """

    mode: str = "cat"
    weights: tuple[float, ...] = ()
    density: float | None = None
    rank: int | None = None
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        """Refuse a mode that is none, and numbers that make no sense for it."""
        if not all(map(math.isfinite, self.weights)):
            raise UsageError(f"weights are {self.weights}; give finite numbers")
        if self.mode not in MODES:
            listed = ", ".join(MODES) + near_miss(self.mode, MODES)
            raise UsageError(f"no mode is called {self.mode!r}; choose one of {listed}")
        pruned = self.mode.removesuffix("_svd") in MIXED
        if pruned and self.density is None:
            what = f"mode {self.mode} needs a density; give the share that it keeps"
            raise UsageError(what)
        if self.density is not None and not (pruned and 0 < self.density <= 1):
            raise UsageError(
                f"density is {self.density} with mode {self.mode}; give one above 0 up"
                " to 1, to a mode that prunes, such as ties"
            )
        if self.rank is not None and not (self.mode.endswith("svd") and self.rank > 0):
            raise UsageError(
                f"rank is {self.rank} with mode {self.mode}; give a positive one, to a"
                " mode with svd"
            )


@frozen
class _Part:
    """The change that one adapter makes to a weight, and how much it counts."""

    change: LowRank
    weight: float
    place: int

    @property
    def scale(self) -> float:
        return self.weight * self.change.scale


def stacked(
    adapters: Sequence[Adapter], paths: Sequence[Path], stacking: Stacking
) -> Adapter:
    """Return one adapter made of several, in canonical names.

    Raises UsageError where there are not as many weights as adapters,
    UnrepresentableError for changes that cannot be summed: DoRA's, biases, and tensors
    that two adapters replace.
    """
    weights = stacking.weights or (1.0,) * len(adapters)
    if len(weights) != len(adapters):
        what = f"{len(weights)} weights for {len(adapters)} adapters; give one for each"
        raise UsageError(what)
    if len(adapters) == 1 and stacking.mode == "cat" and weights == (1.0,):
        return adapters[0]
    _refuse_unsummable(adapters, paths)
    names = dict.fromkeys(name for each in adapters for name in each.changes)
    changes = {}
    for name in names:
        parts = [
            _Part(adapter.changes[name], weights[place], place)
            for place, adapter in enumerate(adapters)
            if name in adapter.changes
        ]
        changes[name] = _Stack(name, tuple(parts), stacking, paths[0]).change()
    whole = {k: tensor for each in adapters for k, tensor in each.replacements.items()}
    rows = {name: each for adapter in adapters for name, each in adapter.rows.items()}
    return Adapter(changes, whole, _tokenizer(adapters), rows)


def _tokenizer(adapters: Sequence[Adapter]) -> Tokenizer | None:
    """Return the first tokenizer that an adapter has of its own."""
    return next((each.tokenizer for each in adapters if each.tokenizer), None)


def _refuse_unsummable(adapters: Sequence[Adapter], paths: Sequence[Path]) -> None:
    faults: list[Fault] = []
    owners: dict[str, Path] = {}
    own = _tokenizer(adapters)
    repair = "merge them one after the other"
    for adapter, path in zip(adapters, paths, strict=True):
        for name, change in adapter.changes.items():
            if change.magnitude is not None or change.bias is not None:
                what = f"{path} has a magnitude or bias there, which cannot be weighted"
                faults.append(Fault(name, what, repair))
        brings = EMBEDDING in adapter.replacements or adapter.tokenizer != own
        if adapter.tokenizer and brings:
            what = f"{path} brings tokens or a template of its own"
            faults.append(Fault(EMBEDDING, what, repair))
        for name in adapter.replaced:
            if name in owners:
                what = f"replaced by {owners[name]} and {path}"
                faults.append(Fault(name, what, repair))
            owners[name] = path
    if faults:
        raise UnrepresentableError(paths[0], "cannot be made one with others", faults)


@frozen
class _Stack:
    """The changes of one weight."""

    name: str
    parts: tuple[_Part, ...]
    how: Stacking
    path: Path

    def change(self) -> LowRank:
        mode = self.how.mode
        if mode == "cat":
            return self._joined()
        if mode == "svd":
            joined = self._joined()
            a, b = joined.a.numpy(), joined.b.numpy()
            return _change(*truncated_product(a, b, self._rank))
        if mode.endswith("_svd"):
            products = [
                part.change.scale * _product(part.change) for part in self.parts
            ]
            shares = [part.weight for part in self.parts]
            mixed = self._mixed(products, shares, mode.removesuffix("_svd"), "product")
            return _change(*truncated_svd(Tensor.of(mixed), self._rank)[:2])
        return self._mixed_matrices()

    @property
    def _rank(self) -> int:
        return self.how.rank or max(part.change.rank for part in self.parts)

    def _joined(self) -> LowRank:
        """Return the exact sum: A below each other, scaled, and B beside each other."""
        below = [_scaled(part.change.a, part.scale) for part in self.parts]
        beside = [part.change.b.cast(F32).transposed() for part in self.parts]
        a, b = concatenated(below), concatenated(beside).transposed()
        return LowRank(a, b, float(a.shape[0]))

    def _mixed_matrices(self) -> LowRank:
        ranks = {part.change.rank for part in self.parts}
        if len(ranks) > 1:
            listed = " and ".join(map(str, sorted(ranks)))
            raise UnrepresentableError(
                self.path,
                f"{self.name}: mode {self.how.mode} needs equal ranks, there are"
                f" {listed}; choose mode cat or svd",
            )
        roots = [float(np.sqrt(abs(part.scale))) for part in self.parts]
        signed = [
            np.copysign(r, p.scale) for r, p in zip(roots, self.parts, strict=True)
        ]
        a = [part.change.a.cast(F32).numpy() for part in self.parts]
        b = [part.change.b.cast(F32).numpy() for part in self.parts]
        mode = self.how.mode
        return _change(
            self._mixed(a, signed, mode, "A"), self._mixed(b, roots, mode, "B")
        )

    def _mixed(
        self, values: list[Array], weights: Sequence[float], mode: str, what: str
    ) -> Array:
        kept = np.stack(list(self._pruned(values, mode, what)))
        weighted = kept * np.asarray(weights, np.float32).reshape(-1, 1, 1)
        if not mode.endswith("ties"):
            return np.asarray(weighted.sum(axis=0), np.float32)
        majority = np.where(kept.sum(axis=0) >= 0, 1, -1)
        agreeing = np.sign(kept) == majority
        count = np.maximum(agreeing.sum(axis=0), 1)
        return np.asarray((weighted * agreeing).sum(axis=0) / count, np.float32)

    def _pruned(self, values: list[Array], mode: str, what: str) -> Iterator[Array]:
        density = self.how.density
        for part, each in zip(self.parts, values, strict=True):
            if density is None or density == 1:
                yield each
            elif mode.startswith("dare"):
                key = zlib.crc32(f"{self.name} {what}".encode())
                random = np.random.default_rng([self.how.seed, key, part.place])
                yield each * (random.random(each.shape) < density) / np.float32(density)
            else:
                yield _largest(each, int(density * each.size))


def _largest(values: Array, count: int) -> Array:
    """Return the values with all but the `count` largest ones zero."""
    kept = np.zeros(values.size, bool)
    if count:
        kept[np.argpartition(-np.abs(values.reshape(-1)), count - 1)[:count]] = True
    return values * kept.reshape(values.shape)


def _product(change: LowRank) -> Array:
    product: Array = change.b.cast(F32).numpy() @ change.a.cast(F32).numpy()
    return product


def _scaled(tensor: Tensor, scale: float) -> Tensor:
    factor = np.float32(scale)
    return combined(lambda values: factor * values, [tensor])


def _change(a: Array, b: Array) -> LowRank:
    return LowRank(Tensor.of(a), Tensor.of(b), float(a.shape[0]))
