"""Operations along rows: on packed bytes, equal to numpy, undone without a trace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aprhub.api import (
    ENCODINGS,
    FileRange,
    Tensor,
    UnrepresentableError,
    concatenated,
    stacked,
)
from tests.unit.ir import blocks

Draw = Callable[[st.SearchStrategy[Any]], Any]
Items = NDArray[np.void]


@given(data=st.data())
def test_taken_rows_are_the_rows_that_numpy_takes(
    noise: Path, data: st.DataObject
) -> None:
    it = data.draw(blocks.stored(noise))
    last = it.tensor.shape[0] - 1
    index = np.array(data.draw(st.lists(st.integers(0, last))), np.int64)

    found = it.tensor.taken(index)

    assert found.tobytes() == it.rows[index].tobytes()
    assert found.shape == (index.size, *it.tensor.shape[1:])


@given(data=st.data())
def test_taken_rows_of_decoded_values_are_decoded_taken_rows(
    noise: Path, data: st.DataObject
) -> None:
    it = data.draw(blocks.stored(noise, ("q8_0",)))
    index = np.array(data.draw(st.permutations(range(it.tensor.shape[0]))))

    with np.errstate(invalid="ignore"):
        early, late = it.tensor.decoded().taken(index), it.tensor.taken(index)

        assert early.tobytes() == late.decoded().tobytes()
        np.testing.assert_array_equal(late.numpy(), it.tensor.numpy()[index])


@given(data=st.data())
def test_a_reordering_undone_is_the_file_range_again(
    noise: Path, data: st.DataObject
) -> None:
    it = data.draw(blocks.stored(noise))
    order = np.array(data.draw(st.permutations(range(it.tensor.shape[0]))))

    there = it.tensor.taken(order)
    back = there.taken(np.argsort(order))

    assert back.source == it.tensor.source
    assert isinstance(back.source, FileRange)


@given(data=st.data())
def test_split_and_fused_is_the_file_range_again(
    noise: Path, data: st.DataObject
) -> None:
    it = data.draw(blocks.stored(noise))
    rows = it.tensor.shape[0]
    cuts = sorted(data.draw(st.sets(st.integers(1, max(rows - 1, 1)))) | {rows})
    starts = [0, *cuts[:-1]]

    parts = [
        it.tensor.sliced(low, high) for low, high in zip(starts, cuts, strict=True)
    ]

    assert concatenated(parts).source == it.tensor.source


@given(data=st.data())
def test_slices_are_the_slices_that_numpy_takes(
    noise: Path, data: st.DataObject
) -> None:
    it = data.draw(blocks.stored(noise))
    low, high = data.draw(blocks.spans(it.tensor.shape[0]))

    assert it.tensor.sliced(low, high).tobytes() == it.rows[low:high].tobytes()


@given(data=st.data())
def test_a_chain_of_row_operations_equals_numpy_on_the_elements(
    noise: Path, data: st.DataObject
) -> None:
    it = data.draw(blocks.stored(noise, blocks.PLAIN))
    tensor = it.tensor
    dtype = np.dtype(f"V{tensor.encoding.block_bytes}")
    values: Items = np.frombuffer(it.data, dtype).reshape(tensor.shape)

    for step in data.draw(st.lists(st.sampled_from(sorted(STEPS)), max_size=6)):
        tensor, values = STEPS[step](data.draw, tensor, values)

    assert tensor.shape == values.shape
    assert tensor.tobytes() == values.tobytes()


def _take(draw: Draw, tensor: Tensor, values: Items) -> tuple[Tensor, Items]:
    order = np.array(draw(st.permutations(range(values.shape[0]))), np.int64)
    return tensor.taken(order), values[order]


def _slice(draw: Draw, tensor: Tensor, values: Items) -> tuple[Tensor, Items]:
    low, high = draw(blocks.spans(values.shape[0]))
    return tensor.sliced(low, high), values[low:high]


def _flatten(_draw: Draw, tensor: Tensor, values: Items) -> tuple[Tensor, Items]:
    shape = (values.size // values.shape[-1], values.shape[-1])
    return tensor.reshaped(*shape), values.reshape(shape)


def _split(_draw: Draw, tensor: Tensor, values: Items) -> tuple[Tensor, Items]:
    shape = (values.size, 1)
    return tensor.reshaped(*shape), values.reshape(shape)


def _join(_draw: Draw, tensor: Tensor, values: Items) -> tuple[Tensor, Items]:
    return concatenated([tensor, tensor]), np.concatenate([values, values])


def _stack(_draw: Draw, tensor: Tensor, values: Items) -> tuple[Tensor, Items]:
    return stacked([tensor, tensor]), np.stack([values, values])


STEPS = {
    "flatten": _flatten,
    "join": _join,
    "slice": _slice,
    "split": _split,
    "stack": _stack,
    "take": _take,
}


@given(data=st.data())
def test_segments_are_ranges_of_the_file_with_the_same_bytes(
    noise: Path, data: st.DataObject
) -> None:
    it = data.draw(blocks.stored(noise))
    last = it.tensor.shape[0] - 1
    index = np.array(data.draw(st.lists(st.integers(0, last))), np.int64)
    tensor = concatenated([it.tensor.taken(index), it.tensor])

    ranges = tensor.segments()

    assert ranges is not None
    whole = noise.read_bytes()
    cut = (whole[each.offset : each.offset + each.nbytes] for each in ranges)
    assert b"".join(cut) == tensor.tobytes()


def test_parts_of_different_encodings_cannot_be_joined(noise: Path) -> None:
    parts = [blocks.at(noise, 0, (2, 4), name).tensor for name in ("f32", "f16")]

    with pytest.raises(UnrepresentableError, match="expected rows of one length"):
        concatenated(parts)


def test_rows_of_an_encoding_without_rows_cannot_be_taken(noise: Path) -> None:
    tensor = blocks.at(noise, 0, (2, 32), "apr_q8").tensor

    with pytest.raises(UnrepresentableError, match="would cut blocks"):
        tensor.taken(np.array([1, 0]))
    with pytest.raises(UnrepresentableError, match="would cut blocks"):
        tensor.sliced(0, 1)


def test_a_quantised_vector_cannot_be_cut(noise: Path) -> None:
    with pytest.raises(UnrepresentableError, match="would cut blocks"):
        blocks.at(noise, 0, (64,), "q8_0").tensor.sliced(0, 32)


@pytest.mark.parametrize(
    ("shape", "other"), [((2, 32), (32, 2)), ((4, 64), (8, 32)), ((2, 32), (3, 32))]
)
def test_a_reshape_that_would_cut_blocks_or_change_the_count_is_refused(
    noise: Path, shape: tuple[int, int], other: tuple[int, int]
) -> None:
    with pytest.raises(UnrepresentableError, match="cannot become"):
        blocks.at(noise, 0, shape, "q8_0").tensor.reshaped(*other)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_tensors_without_elements_go_through_every_operation(
    shape: tuple[int, int],
) -> None:
    empty = Tensor.of(np.empty(shape, np.float32))
    order = np.arange(shape[0])[::-1]

    for each in (
        empty.taken(order),
        empty.sliced(0, shape[0]),
        empty.taken(order).sliced(0, shape[0] // 2),
        empty.transposed(),
        empty.cast(ENCODINGS["f16"]),
        empty.affine(1.0),
        concatenated([empty, empty.taken(order)]),
    ):
        assert each.nbytes == 0
        assert each.tobytes() == b""
        assert blocks.read(each, 0, 0) == b""
        assert each.numpy().shape == each.shape
