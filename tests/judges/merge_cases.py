"""Small merges that another program has done too: seeded tensors and parameters."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

Tensors = list[NDArray[np.float32]]

SHAPES: Final = {"matrix": (12, 20), "vector": (37,)}
SEED: Final = 7


@frozen
class Case:
    """A method, its parameters as a recipe spells them, and how many models there are.

    `own` has a value for each model besides the base.
    """

    method: str
    models: int = 3
    base: bool = True
    shared: Mapping[str, Any] = field(factory=dict)
    own: Mapping[str, tuple[float, ...]] = field(factory=dict)

    @property
    def name(self) -> str:
        """The case in one word."""
        words = [f"{key}={value}" for key, value in {**self.shared, **self.own}.items()]
        return " ".join([self.method, *words, *(["based"] if self.base else [])])


_W3: Final = {"weight": (0.5, 0.3, -0.4)}
_POSITIVE: Final = {"weight": (0.5, 0.3, 0.9)}
_W2: Final = {"weight": (0.6, 0.9)}
_THIN: Final = {"density": (0.6, 0.4, 0.25)}
_ODD: Final = {"lambda": 0.7, "normalize": False, "rescale": True}

CASES: Final = (
    Case("linear", base=False, own=_POSITIVE),
    Case("linear", base=False, shared={"normalize": False}, own=_W3),
    Case("slerp", 1, shared={"t": 0.3}),
    Case("nuslerp", 2, base=False, own=_W2),
    Case("nuslerp", 2, own=_W2),
    Case("nuslerp", 2, base=False, shared={"nuslerp_flatten": False}, own=_W2),
    Case(
        "nuslerp",
        2,
        shared={"nuslerp_flatten": False, "nuslerp_row_wise": True},
        own=_W2,
    ),
    Case("multislerp", base=False, own=_POSITIVE),
    Case("multislerp", own=_POSITIVE),
    Case("karcher", base=False),
    Case("karcher", base=False, shared={"max_iter": 2}),
    Case("task_arithmetic", own=_W3),
    Case("task_arithmetic", shared=_ODD, own=_W3),
    Case("ties", own={**_POSITIVE, **_THIN}),
    Case("ties", shared=_ODD, own={**_W3, **_THIN}),
    Case("dare_linear", own={**_W3, **_THIN}),
    Case("dare_ties", own={**_POSITIVE, **_THIN}),
    Case("della", own={**_POSITIVE, **_THIN}),
    Case("della_linear", shared={"rescale": False}, own={**_W3, **_THIN}),
    Case("breadcrumbs", own={**_W3, **_THIN, "gamma": (0.05, 0.1, 0.9)}),
    Case("breadcrumbs_ties", own={**_POSITIVE, **_THIN, "gamma": (0.05, 0.1, 0.2)}),
    Case("sce"),
    Case("sce", shared={"select_topk": 0.3}),
    Case("model_stock"),
    Case("model_stock", shared={"filter_wise": True}),
    Case("nearswap", 1, shared={"t": 0.1}),
    Case("arcee_fusion", 1),
    Case("passthrough", 1, base=False, own={"scale": (0.37,)}),
)


def tensors(case: Case, shape: str) -> tuple[Tensors, NDArray[np.float32] | None]:
    """Return the models and the base: the base and noise, as tuned models are."""
    random = np.random.default_rng([SEED, case.models])
    base = random.standard_normal(SHAPES[shape], np.float32)
    models = [
        base + np.float32(0.4) * random.standard_normal(SHAPES[shape], np.float32)
        for _ in range(case.models)
    ]
    return models, base if case.base else None
