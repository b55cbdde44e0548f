import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import (
    Layout,
    LayoutFile,
    Literal,
    Padding,
    Tensor,
    TensorData,
    padding,
    sharded,
)


@given(st.integers(0, 1 << 40), st.sampled_from([1, 8, 32, 64, 4096]))
def test_padding_leads_to_the_next_multiple(position: int, alignment: int) -> None:
    count = padding(position, alignment).nbytes

    assert (position + count) % alignment == 0
    assert 0 <= count < alignment


def _items(sizes: list[int]) -> list[tuple[str, Tensor]]:
    return [
        (str(place), Tensor.of(np.zeros(size, np.uint8)))
        for place, size in enumerate(sizes)
    ]


@given(st.lists(st.integers(0, 50)), st.integers(1, 100))
def test_shards_hold_every_tensor_once_in_order_within_the_limit(
    sizes: list[int], limit: int
) -> None:
    items = _items(sizes)

    shards = sharded(items, limit)

    assert [item for shard in shards for item in shard] == items
    for shard in shards:
        total = sum(tensor.nbytes for _, tensor in shard)
        assert total <= limit or len(shard) == 1


def test_without_a_limit_there_is_one_shard() -> None:
    items = _items([5, 6, 7])

    assert sharded(items, None) == [items]
    assert sharded([], 10) == [[]]


def test_sizes_of_a_layout_are_exact() -> None:
    data = TensorData("t", Tensor.of(np.zeros(5, np.float32)))
    file = LayoutFile.of("a", (Literal(b"xyz"), Padding(0), Padding(5), data))

    assert file.nbytes == 28
    assert len(file.segments) == 3
    assert Layout((file, file)).nbytes == 56


def test_what_is_spelled_out_late_has_its_size_before() -> None:
    asked: list[int] = []

    def spelled() -> bytes:
        asked.append(1)
        return b"xyz"

    late = Literal(spelled, 3)
    file = LayoutFile.of("a", (late, Literal(b"xyz")))

    assert (file.nbytes, asked) == (6, [])
    assert [each.data for each in (late, late)] == [b"xyz", b"xyz"]


def test_what_is_not_counted_is_spelled_out_only_for_who_asks_its_size() -> None:
    asked: list[int] = []

    def spelled() -> bytes:
        asked.append(1)
        return b"xyz"

    data = TensorData("t", Tensor.of(np.zeros(5, np.float32)))
    weights = LayoutFile.of("a", (Literal(spelled, 3), Padding(4), data))
    text = LayoutFile("b", (Literal(spelled),))
    layout = Layout((weights, LayoutFile("c", (Literal(b"text"),)), text))

    assert (layout.bulk, asked) == (31, [])
    assert [each.is_counted for each in layout.files] == [True, True, False]
    assert (layout.nbytes, layout.nbytes, asked) == (34, 34, [1])
    assert (weights.has_tensors, weights.tensor_bytes) == (True, 20)
    assert (text.has_tensors, text.tensor_bytes) == (False, 0)


@pytest.mark.parametrize("segment", [Literal(b""), Padding(0)])
def test_empty_segments_are_left_out(segment: Literal | Padding) -> None:
    assert LayoutFile.of("a", (segment,)).segments == ()
