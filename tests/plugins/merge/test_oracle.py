"""Every method gives what its formula gives in f64, to the last bits of f32."""

from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from aprhub.api import Piece, Settings, Tensor
from aprhub.merging.blending import Operands
from aprhub_merge.chance import start, uniform
from tests.judges.merge_cases import CASES, SHAPES, Case, tensors
from tests.plugins.merge.groups import KEY, REGISTRY, merged
from tests.plugins.merge.oracle import METHODS, Given

TOLERANCE: Final = 2.0**-23
"""Two roundings of f32: of the delta, and of the result."""

_W: Final = {"weight": (0.5, 0.3, 0.9)}
OF_APRENDER: Final = (
    Case("average:apr", base=False),
    Case("weighted:apr", base=False, own=_W),
    Case("slerp:apr", 1, shared={"t": 0.8}),
    Case("nuslerp:apr", 1, shared={"t": 0.2}),
    Case("multi-slerp:apr", base=False, own=_W),
    Case("ties:apr"),
    Case("ties:apr", shared={"density": 0.6}),
    Case("dare:apr", shared={"drop_rate": 0.4}),
    Case("dare:apr", own=_W),
    Case("task-arithmetic:apr", own={"scale": (0.5, 2.0, -1.0)}),
    Case("della:apr", shared={"drop_rate": 0.7}, own=_W),
    Case("breadcrumbs:apr", shared={"k": 1.2}),
    Case("sce:apr", base=False, own=_W),
)


def lots(case: Case, shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Return the random numbers of each model's elements."""
    zeros = np.zeros(shape, np.float32)
    group = Operands.of([Tensor.of(zeros)], None, Settings(), KEY)
    piece = Piece(0, (zeros,))
    return [uniform(start(group, model), piece) for model in range(case.models)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", [*CASES, *OF_APRENDER], ids=lambda case: case.name)
def test_a_method_computes_its_formula(case: Case, shape: str) -> None:
    models, base = tensors(case, shape)
    wide = [model.astype(np.float64) for model in models]
    ground = None if base is None else base.astype(np.float64)
    drawn = lots(case, SHAPES[shape])
    meant = METHODS[case.method](Given(wide, ground, case.shared, case.own, drawn))

    found = merged(case, models, base)

    assert np.abs(found - meant).max() <= TOLERANCE * np.abs(meant).max()


def test_the_formula_of_every_method_is_known() -> None:
    assert METHODS.keys() == {each.value.name for each in REGISTRY.methods}
