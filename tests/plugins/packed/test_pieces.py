"""Weights larger than a piece, and rows that begin anywhere in a byte or a block."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.judges.packing import PACKERS
from tests.plugins.packed.changes import opened, written

ROWS, COLUMNS = 464, 2112
"""More rows than a piece has, and more columns than a band, neither a multiple."""


@pytest.mark.parametrize("name", ["gptq", "awq"])
def test_pieces_of_a_weight_with_inputs_as_rows_fit_together(
    name: str, tmp_path: Path
) -> None:
    random = np.random.default_rng(5)
    parts, expected = PACKERS[name].pack(
        random.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    )
    tensors = {
        part: torch.from_numpy(np.array(array, order="C"))
        for part, array in parts.items()
    }

    path = written(tmp_path, PACKERS[name].settings, tensors)
    values = opened(path).tensors["layer.weight"].decoded()

    pieces = [each.view("<f4").reshape(-1, COLUMNS) for each in values.pieces(1)]
    assert len(pieces) == 2
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    np.testing.assert_array_equal(values.sliced(380, 390).numpy(), expected[380:390])


def test_rows_of_four_bit_codes_may_begin_in_the_middle_of_a_byte(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(6)
    codes = random.integers(0, 16, 7 * 33)
    table = random.standard_normal(16).astype(np.float32)
    scales = random.uniform(1, 2, 4).astype(np.float32)
    halves = np.append(codes, 0).reshape(-1, 2)
    state = {"shape": [7, 33], "blocksize": 64, "quant_type": "nf4"}
    parts = {
        "weight": halves[:, :1] * 16 + halves[:, 1:],
        "weight.quant_state.bitsandbytes__nf4": np.array([*json.dumps(state).encode()]),
    }
    tensors = {
        name: torch.from_numpy(part.astype("u1")) for name, part in parts.items()
    }
    tensors["weight.quant_map"] = torch.from_numpy(table)
    tensors["weight.absmax"] = torch.from_numpy(scales)

    path = written(tmp_path, {"quant_method": "bitsandbytes"}, tensors)
    values = opened(path).tensors["layer.weight"].decoded()

    expected = (table[codes] * scales[np.arange(7 * 33) // 64]).reshape(7, 33)
    for first, stop in ((0, 7), (1, 2), (2, 5), (5, 7)):
        found = values.sliced(first, stop).numpy()
        np.testing.assert_array_equal(found, expected[first:stop])
