"""Ranks are exact in tensors that are read in pieces, equal values or not."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aprhub.api import Settings, Tensor
from aprhub.ir.joining import combined
from aprhub.merging import blending
from aprhub.merging.blending import Operands
from aprhub_merge import ranking
from aprhub_merge.ranking import Cut, cuts
from tests.plugins.merge.groups import KEY


def cut_at(tensor: Tensor, rank: int) -> tuple[Operands, Cut]:
    """Return a tensor as a group, and the element at a rank of its magnitudes."""
    group = Operands.of([tensor], None, Settings(), KEY)
    (cut,) = cuts(group, lambda piece: [np.abs(piece.models[0])], [(0, rank)])
    return group, cut


def kept(values: NDArray[np.float32], rank: int) -> NDArray[np.bool_]:
    """Return which elements are at a rank or above it."""
    group, cut = cut_at(Tensor.of(values), rank)
    pieces = group.spans(0, group.rows)
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
    monkeypatch.setattr(blending, "ELEMENTS", 1 << 12)
    random = np.random.default_rng(kinds)
    values = random.integers(0, kinds, (997, 307)).astype(np.float32)

    np.testing.assert_array_equal(kept(values, rank), sorted_kept(values, rank))


def _hard(kind: str) -> NDArray[np.float32]:
    """Return numbers whose ranks are hard to find, in many pieces."""
    random = np.random.default_rng(0)
    shape = (1009, 311)
    values = random.standard_normal(shape, np.float32)
    if kind == "all equal":
        return np.full(shape, 0.1, np.float32)
    if kind == "most are zero":
        return values * (random.random(shape) < 0.1)
    if kind == "of many sizes":
        return values * np.logspace(-44, 36, len(values), dtype=np.float32)[:, None]
    if kind == "denormal":
        return values * np.float32(1e-43)
    if kind == "differences of bf16":
        both = (values, values + values[::-1] * np.float32(0.01))
        base, tuned = (each.astype(ml_dtypes.bfloat16) for each in both)
        difference: NDArray[np.float32] = tuned.astype(np.float32) - base
        return difference
    with np.errstate(over="ignore"):
        return values * np.float32(2e38) if kind == "huge" else values


HARD = (
    "distinct",
    "all equal",
    "most are zero",
    "of many sizes",
    "denormal",
    "differences of bf16",
    "huge",
)


@pytest.mark.parametrize("share", [0, 1, 1 << 20])
@pytest.mark.parametrize("kind", HARD)
def test_a_rank_is_exact_whatever_the_sample_says(
    kind: str, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blending, "ELEMENTS", 1 << 14)
    if share:
        monkeypatch.setattr(ranking, "_SLACK", share)
        monkeypatch.setattr(ranking, "_SAMPLED", 8)
    values = _hard(kind)

    for rank in (1, values.size // 5, values.size // 2, values.size - 2):
        np.testing.assert_array_equal(kept(values, rank), sorted_kept(values, rank))


def test_a_tensor_of_few_values_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blending, "ELEMENTS", 1 << 14)
    monkeypatch.setattr(ranking, "_SAMPLED", 1 << 10)
    values = _hard("differences of bf16")
    reads = []

    def counted(piece: NDArray[np.float32]) -> NDArray[np.float32]:
        reads.append(piece.size)
        return piece

    cut_at(combined(counted, [Tensor.of(values)]), values.size // 2)

    assert sum(reads) < 1.25 * values.size
