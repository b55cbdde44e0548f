"""Parts that together mean values: their own bytes, and rows computed from them."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aprhub.api import (
    ENCODINGS,
    ComputedRows,
    Tensor,
    concatenated,
    packed,
    stacked,
)
from aprhub.ir.packed import native_of

CODES = np.arange(24, dtype=np.int8).reshape(6, 4)
SCALES = np.linspace(0.5, 1, 6, dtype=np.float32)
VALUES = CODES * SCALES[:, None]


def weight(height: int = 1) -> Tensor:
    codes, scales = Tensor.of(CODES), Tensor.of(SCALES)

    def rows(first: int, stop: int) -> NDArray[np.float32]:
        factors: NDArray[np.float32] = scales.sliced(first, stop).numpy()
        return codes.sliced(first, stop).numpy() * factors[:, None]

    values = ComputedRows(6, 4, rows, height, ENCODINGS["bf16"])
    return packed("toy 8-bit", {"codes": codes, "scales": scales}, values)


def test_the_bytes_are_those_of_the_parts() -> None:
    tensor = weight()

    assert tensor.tobytes() == CODES.tobytes() + SCALES.tobytes()
    assert tensor.nbytes == 24 + 24
    assert tensor.encoding.name == "toy 8-bit"
    assert tensor.encoding.is_quantized


@pytest.mark.parametrize("height", [1, 2, 4, 6])
def test_the_values_are_computed_from_them(height: int) -> None:
    tensor = weight(height)

    np.testing.assert_array_equal(tensor.numpy(), VALUES)
    np.testing.assert_array_equal(tensor.decoded().sliced(3, 5).numpy(), VALUES[3:5])
    narrow = tensor.cast(ENCODINGS["bf16"])
    assert narrow.tobytes() == VALUES.astype(narrow.encoding.dtype).tobytes()
    order = np.array([5, 0, 3])
    np.testing.assert_array_equal(tensor.decoded().taken(order).numpy(), VALUES[order])


def test_what_moves_rows_moves_those_of_the_values() -> None:
    tensor, order = weight(), np.array([5, 0, 3])

    assert np.array_equal(tensor.taken(order).numpy(), VALUES[order])
    assert np.array_equal(tensor.sliced(1, 3).numpy(), VALUES[1:3])
    assert np.array_equal(tensor.transposed().numpy(), VALUES.T)
    assert np.array_equal(tensor.reshaped(3, 8).numpy(), VALUES.reshape(3, 8))
    assert np.array_equal(stacked([tensor, tensor]).numpy(), np.stack([VALUES] * 2))


def test_values_know_their_native_type_wherever_their_rows_go() -> None:
    tensor, plain = weight(), Tensor.of(VALUES)
    moved = tensor.taken(np.array([5, 0, 3]))

    sources = [tensor, tensor.decoded(), moved, concatenated([moved, tensor])]
    assert [native_of(each.source) for each in sources] == [ENCODINGS["bf16"]] * 4
    assert native_of(concatenated([moved, plain]).source) is None
    assert native_of(tensor.cast(ENCODINGS["f16"]).source) is None


def test_no_more_is_held_than_a_piece(tmp_path: Path) -> None:
    path = tmp_path / "codes"
    path.write_bytes(bytes(1 << 25))
    codes = Tensor.at(path, 0, (1 << 13, 1 << 12), ENCODINGS["i8"])

    def rows(first: int, stop: int) -> NDArray[np.float32]:
        return codes.sliced(first, stop).numpy().astype(np.float32)

    values = ComputedRows(1 << 13, 1 << 12, rows)
    tensor = packed("toy 8-bit", {"codes": codes}, values)
    tracemalloc.start()
    total = sum(each.size for each in tensor.cast(ENCODINGS["bf16"]).pieces(1 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert total == 1 << 26
    assert peak < 1 << 24
