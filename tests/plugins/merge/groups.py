"""Merges of arrays through the hub's own blending, without files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aprhub import Registry, Tensor
from aprhub.ir.encoding import F32
from aprhub.merging.blending import Operands, blended
from aprhub.spec.merging import MergeMethod, Settings
from tests.judges.merge_cases import SEED, Case

REGISTRY = Registry.load()
KEY = ("layers.0.attn.q.weight", SEED)

Array = NDArray[np.float32]


def settings(
    method: MergeMethod,
    count: int,
    shared: Mapping[str, Any],
    own: Mapping[str, Sequence[float]],
) -> Settings:
    """Return parameters with the defaults of a method."""
    given = {each.name: each.default for each in method.parameters}
    known = {name: value for name, value in given.items() if value is not None}
    common = {name: known[name] for name in known if not _is_own(method, name)}
    each_own = [
        {
            **{name: known[name] for name in known if _is_own(method, name)},
            **{name: values[place] for name, values in own.items()},
        }
        for place in range(count)
    ]
    return Settings({**common, **shared}, tuple(each_own))


def _is_own(method: MergeMethod, name: str) -> bool:
    return any(each.per_model for each in method.parameters if each.name == name)


def merged(case: Case, models: Sequence[Array], base: Array | None) -> Array:
    """Return what a method makes of arrays."""
    method = REGISTRY.method(case.method)
    chosen = settings(method, len(models), case.shared, case.own)
    ground = None if base is None else Tensor.of(base)
    operands = Operands.of([*map(Tensor.of, models)], ground, chosen, KEY)
    result: Array = blended(KEY[0], method, operands, F32).numpy()
    return result
