"""What cannot be done on packed bytes is computed: right, lazily, in bounded memory."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, FileRange, Tensor, UnrepresentableError, combined
from aprhub.ir import computed
from aprhub.ir.computed import PIECE_BYTES
from tests.unit.ir import blocks

FLOATS = st.floats(width=32, allow_nan=False)


def _matrices(
    elements: st.SearchStrategy[float] = FLOATS,
) -> st.SearchStrategy[NDArray[np.float32]]:
    shapes = arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)
    return arrays.arrays(np.float32, shapes, elements=elements)


@given(_matrices())
def test_transposed_twice_is_the_same_expression(values: NDArray[np.float32]) -> None:
    tensor = Tensor.of(values)

    np.testing.assert_array_equal(tensor.transposed().numpy(), values.T)
    assert tensor.transposed().transposed().source is tensor.source


@pytest.mark.parametrize("name", ["f64", "f32", "f16", "bf16", "f8_e5m2"])
@given(values=_matrices())
def test_a_cast_rounds_as_numpy_and_ml_dtypes_do(
    name: str, values: NDArray[np.float32]
) -> None:
    target = ENCODINGS[name].dtype
    assert target is not None

    found = Tensor.of(values).cast(ENCODINGS[name]).tobytes()

    with np.errstate(all="ignore"):
        assert found == values.astype(target).tobytes()


@example(bits=0x7F81)  # a NaN that signals
@given(bits=st.integers(0, (1 << 16) - 1))
def test_every_bf16_value_survives_f32_and_back(bits: int) -> None:
    array = np.array([bits], np.uint16).view(ml_dtypes.bfloat16)
    tensor = Tensor.of(array)

    back = tensor.cast(ENCODINGS["f32"]).cast(ENCODINGS["bf16"])

    assert back.source is tensor.source
    wide = Tensor.of(tensor.cast(ENCODINGS["f32"]).numpy()).cast(ENCODINGS["bf16"])
    is_nan = bits & 0x7F80 == 0x7F80 and bits & 0x7F
    assert wide.tobytes() == array.tobytes() or is_nan


def test_a_cast_to_narrower_and_back_is_not_taken_for_the_original() -> None:
    tensor = Tensor.of(np.array([0.1], np.float32))

    back = tensor.cast(ENCODINGS["bf16"]).cast(ENCODINGS["f32"])

    assert back.numpy()[0] == np.float32(ml_dtypes.bfloat16(0.1))
    assert back.numpy()[0] != np.float32(0.1)


def test_an_offset_added_and_taken_back_is_the_same_expression(noise: Path) -> None:
    tensor = blocks.at(noise, 0, (4, 4), "f32").tensor

    assert tensor.affine(1.0).affine(-1.0).source == tensor.source
    assert tensor.affine(1.0).affine(1.0).segments() is None


def test_an_offset_undone_gives_back_the_narrow_encoding() -> None:
    tensor = Tensor.of(np.array([1.5], np.float16))

    back = tensor.affine(-1.0).affine(1.0)

    assert back.numpy()[0] == 1.5


def test_decoded_rows_leave_out_the_padding_of_their_last_block(noise: Path) -> None:
    padded = blocks.at(noise, 0, (3, 40), "q8_0").tensor
    whole = blocks.at(noise, 0, (3, 64), "q8_0").tensor

    assert padded.nbytes == whole.nbytes
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(padded.numpy(), whole.numpy()[:, :40])


def test_a_header_before_flat_blocks_scales_every_value(noise: Path) -> None:
    it = blocks.at(noise, 0, (2, 5), "apr_q8")
    scale = np.frombuffer(it.data[:4], "<f4")
    codes = np.frombuffer(it.data[4:], np.int8).astype(np.float32)

    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(it.tensor.numpy(), (codes * scale).reshape(2, 5))


@given(_matrices(st.floats(-100, 100, width=32)))
def test_combined_tensors_are_combined_element_by_element(
    values: NDArray[np.float32],
) -> None:
    parts = [Tensor.of(values), Tensor.of(values.T.copy()).transposed()]

    found = combined(lambda a, b: (a + 2 * b).astype(np.float32), parts)

    expected = (values + 2 * values).astype(np.float32)
    np.testing.assert_array_equal(found.numpy(), expected)


def test_tensors_of_different_shapes_are_not_combined() -> None:
    parts = [Tensor.of(np.zeros(n, np.float32)) for n in (2, 3)]

    with pytest.raises(UnrepresentableError, match="differ; give tensors of one shape"):
        combined(np.add, parts)


def test_columns_are_picked_however_much_is_read_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.arange(7 * 9, dtype=np.int16).reshape(7, 9)
    picked = Tensor.of(values).strided(2, 4)

    for limit in (1, 40, 1 << 20):
        monkeypatch.setattr(computed, "PIECE_BYTES", limit)
        np.testing.assert_array_equal(picked.numpy(), values[:, 2::4])
        np.testing.assert_array_equal(picked.sliced(3, 6).numpy(), values[3:6, 2::4])
    with pytest.raises(UnrepresentableError, match="is no plain matrix"):
        Tensor.of(values[0]).strided(0, 2)


def test_only_matrices_are_transposed() -> None:
    with pytest.raises(UnrepresentableError, match="is no matrix"):
        Tensor.of(np.zeros((2, 2, 2), np.float32)).transposed()


def test_values_of_an_encoding_without_codec_are_refused_by_name(noise: Path) -> None:
    tensor = Tensor.at(noise, 0, (1, 256), ENCODINGS["iq1_s"])

    assert len(tensor.tobytes()) == 50
    with pytest.raises(UnrepresentableError, match=r"iq1_s.*no installed codec"):
        tensor.numpy()


def test_an_array_without_an_encoding_is_refused_by_its_dtype() -> None:
    with pytest.raises(UnrepresentableError, match="complex64"):
        Tensor.of(np.zeros(1, np.complex64))


MIB = 1 << 20
LARGE = (1 << 12, 1 << 12)


@pytest.fixture(scope="module")
def hole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hole") / "hole.bin"
    with path.open("wb") as file:
        file.truncate(4 * LARGE[0] * LARGE[1])
    return path


COSTLY: dict[str, Callable[[Tensor], Tensor]] = {
    "affine": lambda tensor: tensor.affine(1.0),
    "cast": lambda tensor: tensor.cast(ENCODINGS["bf16"]),
    "combined": lambda tensor: combined(np.add, [tensor, tensor]),
    "gather": lambda tensor: tensor.taken(np.arange(LARGE[0])[::-1].copy()),
    "transposed": lambda tensor: tensor.transposed(),
    "gather cast": lambda t: t.taken(np.arange(LARGE[0])[::-1].copy()).affine(1.0),
}


@pytest.mark.parametrize("kind", sorted(COSTLY))
def test_a_large_tensor_is_read_in_bounded_memory(hole: Path, kind: str) -> None:
    tensor = COSTLY[kind](Tensor.at(hole, 0, LARGE, ENCODINGS["f32"]))
    assert isinstance(Tensor.at(hole, 0, LARGE, ENCODINGS["f32"]).source, FileRange)

    tracemalloc.start()
    total = sum(piece.size for piece in tensor.pieces(4 * MIB))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert total == tensor.nbytes >= 32 * MIB
    assert peak < 5 * PIECE_BYTES
