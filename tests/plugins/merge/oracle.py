"""Every method once more, from its paper or its program's formula: whole tensors, f64.

Nothing here is shared with the methods: elements are sorted instead of counted, and
vectors are computed instead of their products.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[np.float64]


@frozen
class Given:
    """The models, the base, parameters of all and of each, and random numbers."""

    models: Sequence[Array]
    base: Array | None
    shared: Mapping[str, Any]
    own: Mapping[str, Sequence[float]]
    lots: Sequence[Array] = ()

    @property
    def deltas(self) -> list[Array]:
        if self.base is None:
            return [*self.models]
        narrow = np.float32
        return [
            (m.astype(narrow) - self.base.astype(narrow)).astype(np.float64)
            for m in self.models
        ]

    def each(self, name: str, default: float = 1.0) -> list[float]:
        return list(self.own.get(name, [default] * len(self.models)))

    def on_base(self, delta: Array) -> Array:
        return delta if self.base is None else self.base + delta


def unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)


def linear(given: Given) -> Array:
    weights = np.array(given.each("weight"))
    total = sum(w * m for w, m in zip(weights, given.models, strict=True))
    return np.asarray(
        total / weights.sum() if given.shared.get("normalize", True) else total
    )


def sphere(a: Array, b: Array, t: float, limit: float) -> Array:
    cosine = float(np.sum(unit(a.ravel()) * unit(b.ravel())))
    if abs(cosine) > limit:
        return (1 - t) * a + t * b
    angle = np.arccos(cosine)
    return np.asarray(
        (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    )


def slerp(given: Given) -> Array:
    assert given.base is not None
    return sphere(given.base, given.models[0], given.shared.get("t", 0.5), 0.9995)


def slerp_exact(given: Given) -> Array:
    assert given.base is not None
    return sphere(given.base, given.models[0], given.shared.get("t", 0.5), 1 - 1e-13)


def stretched(a: Array, b: Array, t: float) -> Array:
    cosine = float(np.sum(unit(a.ravel()) * unit(b.ravel())))
    if abs(cosine) <= 0.9995:
        return sphere(a, b, t, 0.9995)
    line = (1 - t) * a + t * b
    length = (1 - t) * np.linalg.norm(a) + t * np.linalg.norm(b)
    return np.asarray(line * length / np.linalg.norm(line))


def nuslerp_apr(given: Given) -> Array:
    assert given.base is not None
    return stretched(given.base, given.models[0], given.shared.get("t", 0.5))


def multislerp_apr(given: Given) -> Array:
    weights = given.each("weight")
    total = given.models[0]
    for n, model in enumerate(given.models[1:], 1):
        total = stretched(total, model, weights[n] / sum(weights[: n + 1]))
    return total


def nuslerp(given: Given) -> Array:
    weights = given.each("weight")
    t = weights[1] / sum(weights)
    a, b = given.deltas
    if given.shared.get("nuslerp_flatten", True):
        return given.on_base(sphere(a, b, t, 1.0))
    if given.shared.get("nuslerp_row_wise") and a.ndim > 1:
        rows = zip(a.T, b.T, strict=True)
        return given.on_base(np.array([sphere(x, y, t, 1.0) for x, y in rows]).T)
    rows = zip(np.atleast_2d(a), np.atleast_2d(b), strict=True)
    found = np.array([sphere(x, y, t, 1.0) for x, y in rows])
    return given.on_base(found.reshape(a.shape))


def multislerp(given: Given) -> Array:
    weights = np.array(given.each("weight"))
    weights = weights / weights.sum()
    vectors = [d.ravel() for d in given.deltas]
    lengths = np.array([np.linalg.norm(v) for v in vectors])
    mean = unit(sum(w * unit(v) for w, v in zip(weights, vectors, strict=True)))
    return given.on_base((mean * (weights @ lengths)).reshape(given.models[0].shape))


def karcher(given: Given) -> Array:
    vectors = [unit(m.ravel()) for m in given.models]
    mean = unit(np.mean(vectors, axis=0))
    for _ in range(int(given.shared.get("max_iter", 10))):
        pull = np.zeros_like(mean)
        for v in vectors:
            angle = np.arccos(np.clip(v @ mean, -1, 1))
            if angle >= 1e-5:
                towards = (v - (v @ mean) * mean) / np.sin(angle)
                pull += angle * towards / len(vectors)
        size = np.linalg.norm(pull)
        if size < 1e-5:
            break
        mean = unit(np.cos(size) * mean + np.sin(size) * pull / size)
    length = np.mean([np.linalg.norm(m) for m in given.models])
    return np.asarray((length * mean).reshape(given.models[0].shape))


def model_stock(given: Given) -> Array:
    assert given.base is not None
    count = len(given.models)
    by_rows = given.shared.get("filter_wise", False)
    deltas = [np.atleast_2d(d) if by_rows else d.reshape(1, -1) for d in given.deltas]
    shares = []
    for rows in zip(*deltas, strict=True):
        cosines = [
            unit(rows[i]) @ unit(rows[j]) for i in range(count) for j in range(i)
        ]
        mean = np.mean(cosines)
        shares.append(count * mean / (1 + (count - 1) * mean))
    moved = np.array(shares)[:, None] * np.mean(deltas, axis=0)
    return np.asarray(given.base + moved.reshape(given.base.shape))


def nearswap(given: Given) -> Array:
    assert given.base is not None
    apart = np.maximum(np.abs(given.deltas[0]), 1e-6)
    share = np.minimum(given.shared["t"] / apart, 1)
    return np.asarray(given.base + share * (given.models[0] - given.base))


def arcee_fusion(given: Given) -> Array:
    assert given.base is not None
    p, q = (
        np.exp(x) / np.exp(x).sum(-1, keepdims=True) + 1e-8
        for x in (given.models[0], given.base)
    )
    score = np.abs(given.deltas[0]) * (p * np.log(p / q)).sum(-1, keepdims=True)
    ordered = np.sort(score.ravel())
    low, middle, high = (ordered[int(x * (score.size - 1))] for x in (0.25, 0.5, 0.75))
    chosen = score >= middle + 1.5 * (high - low)
    return np.where(chosen, given.models[0], given.base)


def passthrough(given: Given) -> Array:
    return given.models[0] * given.each("scale")[0]


def _kept_largest(delta: Array, density: float) -> Array:
    count = max(1, int(density * delta.size))
    order = np.argsort(np.abs(delta).ravel(), kind="stable")
    mask = np.zeros(delta.size)
    mask[order[delta.size - count :]] = 1
    return mask.reshape(delta.shape)


def _kept_middle(delta: Array, density: float, gamma: float) -> Array:
    count, top = int(density * delta.size), int(gamma * delta.size)
    start = max(0, delta.size - count - top)
    order = np.argsort(np.abs(delta).ravel(), kind="stable")
    mask = np.zeros(delta.size)
    mask[order[start : start + count]] = 1
    return mask.reshape(delta.shape)


def _kept_by_rank(delta: Array, density: float, epsilon: float, lots: Array) -> Array:
    rows = np.atleast_2d(np.abs(delta))
    ranks = np.array([[np.sum(row < x) for x in row] for row in rows])
    chance = density - epsilon + 2 * epsilon * ranks / (rows.shape[1] - 1)
    return np.asarray(
        (lots.reshape(rows.shape) < chance).astype(float).reshape(delta.shape)
    )


def _masks(given: Given, kind: str) -> list[Array]:
    densities = given.each("density")
    gammas, epsilons = given.each("gamma", 0.01), given.each("epsilon", 0.15)
    found = []
    for n, (delta, density) in enumerate(zip(given.deltas, densities, strict=True)):
        match kind:
            case "largest":
                found.append(_kept_largest(delta, density))
            case "middle":
                found.append(_kept_middle(delta, density, gammas[n]))
            case "random":
                found.append((given.lots[n] < density).astype(float))
            case "ranked":
                found.append(_kept_by_rank(delta, density, epsilons[n], given.lots[n]))
            case _:
                found.append(np.ones_like(delta))
    return found


def arithmetic(
    kind: str, *, consensus: bool, normalize: bool = False, rescale: bool = False
) -> Callable[[Given], Array]:
    def method(given: Given) -> Array:
        weights = np.array(given.each("weight"))
        parts = []
        masks = _masks(given, kind)
        for delta, mask, weight in zip(given.deltas, masks, weights, strict=True):
            kept = delta * mask
            if given.shared.get("rescale", rescale):
                kept = kept * np.abs(delta).sum() / np.abs(kept).sum()
            parts.append(kept * weight)
        agreed = np.ones((len(parts), *parts[0].shape), bool)
        if consensus:
            sign = np.where(np.sum(parts, axis=0) >= 0, 1, -1)
            agreed = np.sign(parts) == sign
        total = np.sum(np.array(parts) * agreed, axis=0)
        if given.shared.get("normalize", normalize):
            shares = agreed.astype(float) if consensus else np.ones_like(agreed, float)
            divisor = np.tensordot(weights, shares, 1)
            total = total / np.where(divisor == 0, 1, divisor)
        return given.on_base(total * given.shared.get("lambda", 1.0))

    return method


def sce(given: Given) -> Array:
    deltas = np.array(given.deltas)
    topk = given.shared.get("select_topk", 1.0)
    if topk < 1:
        spread = deltas.var(axis=0)
        count = int(np.count_nonzero(spread) * topk)
        mask = np.zeros(spread.size)
        mask[np.argsort(spread.ravel(), kind="stable")[spread.size - count :]] = 1
        deltas = deltas * mask.reshape(spread.shape)
    energy = np.square(deltas).reshape(len(deltas), -1).mean(axis=1)
    shares = energy / energy.sum()
    sign = np.where(deltas.sum(axis=0) >= 0, 1, -1)
    weights = shares.reshape(-1, *[1] * (deltas.ndim - 1)) * (np.sign(deltas) == sign)
    total = (deltas * weights).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-6)
    return given.on_base(total)


def ties_apr(given: Given) -> Array:
    density = given.shared.get("density", 0.2)
    parts = np.array(
        [np.where(np.abs(d) >= density * np.abs(d).max(), d, 0) for d in given.deltas]
    )
    sign = np.where(np.sign(parts).sum(axis=0) >= 0, 1, -1)
    agreed = np.where(np.sign(parts) == sign, parts, 0)
    return given.on_base(agreed.sum(axis=0) / len(parts))


def _dropped(given: Given, rates: Sequence[Array]) -> Array:
    weights = given.each("weight", 1 / len(given.models))
    total = np.zeros_like(given.models[0])
    for delta, rate, lot, weight in zip(
        given.deltas, rates, given.lots, weights, strict=True
    ):
        total += weight * np.where(lot >= rate, delta / (1 - rate), 0)
    return given.on_base(total)


def dare_apr(given: Given) -> Array:
    rate = given.shared.get("drop_rate", 0.9)
    return _dropped(given, [np.full(d.shape, rate) for d in given.deltas])


def della_apr(given: Given) -> Array:
    rate = given.shared.get("drop_rate", 0.9)
    return _dropped(
        given, [rate * (1 - np.abs(d) / np.abs(d).max()) for d in given.deltas]
    )


def task_arithmetic_apr(given: Given) -> Array:
    pairs = zip(given.each("scale"), given.deltas, strict=True)
    return given.on_base(np.sum([scale * delta for scale, delta in pairs], axis=0))


def breadcrumbs_apr(given: Given) -> Array:
    k, total = given.shared.get("k", 3.0), np.zeros_like(given.models[0])
    for scale, delta in zip(given.each("scale"), given.deltas, strict=True):
        near = np.abs(delta - delta.mean()) <= k * delta.std()
        total += scale * np.where(near, delta, 0)
    return given.on_base(total)


def sce_apr(given: Given) -> Array:
    weights = np.array(given.each("weight"))
    energy = np.array([np.square(m).mean() for m in given.models])
    shares = weights / weights.sum() / 2 + energy / energy.sum() / 2
    return np.tensordot(shares, np.array(given.models), 1)


METHODS: Final[Mapping[str, Callable[[Given], Array]]] = {
    "linear": linear,
    "slerp": slerp,
    "nuslerp": nuslerp,
    "multislerp": multislerp,
    "karcher": karcher,
    "task_arithmetic": arithmetic("all", consensus=False),
    "ties": arithmetic("largest", consensus=True, normalize=True),
    "dare_linear": arithmetic("random", consensus=False, rescale=True),
    "dare_ties": arithmetic("random", consensus=True, rescale=True),
    "della": arithmetic("ranked", consensus=True, normalize=True, rescale=True),
    "della_linear": arithmetic("ranked", consensus=False, rescale=True),
    "breadcrumbs": arithmetic("middle", consensus=False),
    "breadcrumbs_ties": arithmetic("middle", consensus=True),
    "sce": sce,
    "model_stock": model_stock,
    "nearswap": nearswap,
    "arcee_fusion": arcee_fusion,
    "passthrough": passthrough,
    "average:apr": linear,
    "weighted:apr": linear,
    "slerp:apr": slerp_exact,
    "nuslerp:apr": nuslerp_apr,
    "multi-slerp:apr": multislerp_apr,
    "ties:apr": ties_apr,
    "dare:apr": dare_apr,
    "task-arithmetic:apr": task_arithmetic_apr,
    "della:apr": della_apr,
    "breadcrumbs:apr": breadcrumbs_apr,
    "sce:apr": sce_apr,
}
