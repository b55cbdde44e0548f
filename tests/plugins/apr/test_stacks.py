"""Stacks of experts are read in whichever order their dimensions are stored."""

from pathlib import Path

import numpy as np
import pytest

from aprhub.api import ModelConfig, Tensor
from tests.plugins.apr.disk import model, reopened

STACK = "blk.0.ffn_up_exps.weight"
VALUES = np.arange(3 * 8 * 16, dtype=np.float32)


@pytest.mark.parametrize("shape", [(3, 8, 16), (16, 8, 3)])
@pytest.mark.parametrize("said", [True, False])
def test_the_experts_are_the_outermost_dimension(
    shape: tuple[int, ...], tmp_path: Path, *, said: bool
) -> None:
    tensors = {
        "blk.0.ffn_gate_inp.weight": Tensor.of(np.ones((3, 16), np.float32)),
        STACK: Tensor.of(VALUES.reshape(shape)),
    }
    config = ModelConfig(num_experts=3 if said else None)

    found = reopened(model(tensors, config=config), tmp_path)

    np.testing.assert_array_equal(
        found.tensors[STACK].numpy(), VALUES.reshape(3, 8, 16)
    )
    noted = "1 stacks of experts have their dimensions in ggml's order" in found.notes
    assert noted == (shape[0] != 3)


def test_other_tensors_of_three_dimensions_stay(tmp_path: Path) -> None:
    tensors = {"conv.weight": Tensor.of(VALUES.reshape(16, 8, 3))}

    config = ModelConfig(num_experts=3)
    found = reopened(model(tensors, config=config), tmp_path)

    assert found.tensors["conv.weight"].shape == (16, 8, 3)
