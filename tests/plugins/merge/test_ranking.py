"""Ranks are exact in tensors that are read in pieces, equal values or not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aprhub.api import Settings, Tensor
from aprhub.merging import blending
from aprhub.merging.blending import Operands
from aprhub_merge.ranking import cuts
from tests.plugins.merge.groups import KEY


def kept(values: NDArray[np.float32], rank: int) -> NDArray[np.bool_]:
    """Return which elements are at a rank or above it."""
    group = Operands.of([Tensor.of(values)], None, Settings(), KEY)
    (cut,) = cuts(group, lambda piece: [np.abs(piece.models[0])], [(0, rank)])
    pieces = group.spans(0, group.rows, blending.MEASURED)
    found = (group.piece(rows) for rows in pieces)
    parts = [cut.above(np.abs(piece.models[0]), piece) for piece in found]
    return np.concatenate([part.ravel() for part in parts])


def sorted_kept(values: NDArray[np.float32], rank: int) -> NDArray[np.bool_]:
    """Return the same by sorting everything."""
    mask = np.zeros(values.size, bool)
    mask[np.argsort(np.abs(values).ravel(), kind="stable")[rank:]] = True
    return mask


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1), st.data())
def test_a_rank_is_that_of_a_sort(values: list[float], data: st.DataObject) -> None:
    array = np.array(values, np.float32)
    rank = data.draw(st.integers(0, array.size))

    np.testing.assert_array_equal(kept(array, rank), sorted_kept(array, rank))


@pytest.mark.parametrize("rank", [1, 40_000, 150_000, 306_078])
@pytest.mark.parametrize("kinds", [1, 3, 1000])
def test_equal_values_are_in_the_order_of_their_positions(
    kinds: int, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blending, "MEASURED", 1 << 12)
    random = np.random.default_rng(kinds)
    values = random.integers(0, kinds, (997, 307)).astype(np.float32)

    np.testing.assert_array_equal(kept(values, rank), sorted_kept(values, rank))
