import ml_dtypes
import numpy as np
import pytest
import torch

from aprhub.errors import UnrepresentableError
from aprhub.ir.casting import Loss, refuse_rounding, widens
from aprhub.ir.encoding import ENCODINGS, FLOATS
from aprhub.ir.source import Memory
from aprhub.ir.tensor import Tensor


def _losses(values: list[float], target: str) -> Loss:
    found: list[Loss] = []
    tensor = Tensor.of(np.array(values, np.float32))
    tensor.cast(ENCODINGS[target], found.append).numpy()
    return sum(found, Loss())


def test_exact_values_lose_nothing() -> None:
    assert _losses([0.0, -0.0, 1.5, -2.0, np.inf, np.nan], "f16") == Loss()


def test_overflow_flushing_and_rounding_are_counted() -> None:
    found = _losses([1e6, -1e6, 1e-30, 0.1, 1.0], "f16")

    assert found == Loss(overflowed=2, flushed=1, rounded=4)


def test_values_beyond_a_type_without_infinities_become_its_largest() -> None:
    values = np.array([500.0, -1e9, 449.0, 448.0], np.float32)

    found = Tensor.of(values).cast(ENCODINGS["f8_e4m3"]).numpy()

    assert found.astype(np.float32).tolist() == [448.0, -448.0, 448.0, 448.0]
    assert _losses(values.tolist(), "f8_e4m3") == Loss(overflowed=3, rounded=3)
    assert _losses([1e6, 1.0], "f8_e5m2") == Loss(overflowed=1, rounded=1)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("f8_e4m3", torch.float8_e4m3fn), ("f8_e5m2", torch.float8_e5m2)],
)
def test_types_of_one_byte_mean_what_torch_says(name: str, dtype: torch.dtype) -> None:
    codes = torch.arange(256, dtype=torch.uint8)
    stored = Tensor((256,), ENCODINGS[name], Memory.of(codes.numpy()))
    expected = codes.view(dtype).float()
    between = torch.linspace(-448, 448, 5001)

    encoded = Tensor.of(between.numpy()).cast(ENCODINGS[name])

    np.testing.assert_array_equal(stored.cast(ENCODINGS["f32"]).numpy(), expected)
    assert encoded.tobytes() == bytes(between.to(dtype).view(torch.uint8).tolist())


def test_an_infinity_that_was_there_is_no_overflow() -> None:
    assert _losses([np.inf], "bf16").overflowed == 0


def test_a_nan_is_no_loss() -> None:
    assert _losses([np.nan], "f8_e5m2") == Loss()


def test_rounding_is_refused_where_the_way_back_must_be_exact() -> None:
    observe = refuse_rounding("norm.weight", ENCODINGS["bf16"])
    exact = Tensor.of(np.array([1.5], np.float32))
    inexact = Tensor.of(np.array([0.1], np.float32))

    assert exact.cast(ENCODINGS["bf16"], observe).numpy()[0] == 1.5
    with pytest.raises(UnrepresentableError, match=r"norm\.weight: 1 values"):
        inexact.cast(ENCODINGS["bf16"], observe).numpy()


@pytest.mark.parametrize("target", ["f8_e5m2", "f8_e8m0", "f16", "bf16"])
def test_types_of_one_byte_are_cast_to_each_other(target: str) -> None:
    values = np.array([1.0, 2.0, 0.5], ml_dtypes.float8_e4m3fn)

    found = Tensor.of(values).cast(ENCODINGS[target])

    assert found.numpy().astype(np.float32).tolist() == [1.0, 2.0, 0.5]


def test_quantised_types_are_no_target_of_a_cast() -> None:
    with pytest.raises(UnrepresentableError, match="q8_0"):
        Tensor.of(np.zeros(32, np.float32)).cast(ENCODINGS["q8_0"])


@pytest.mark.parametrize("narrow", FLOATS)
@pytest.mark.parametrize("wide", FLOATS)
def test_a_widening_keeps_every_value_of_the_narrow_type(
    narrow: str, wide: str
) -> None:
    before, after = ENCODINGS[narrow].dtype, ENCODINGS[wide].dtype
    assert before is not None
    assert after is not None
    with np.errstate(all="ignore"):
        values = _sample(before).astype(np.float64)
        back = values.astype(after).astype(np.float64)
        kept = bool(np.all((back == values) | np.isnan(values)))

    assert widens(ENCODINGS[narrow], ENCODINGS[wide]) <= kept


def _sample(dtype: "np.dtype[np.generic]") -> "np.ndarray[tuple[int], np.dtype]":
    """Return every value of a type of one or two bytes, else the telling ones."""
    if dtype.itemsize <= 2:
        return np.arange(1 << (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}").view(
            dtype
        )
    return np.array([0, 1, 1 + 2**-23, 3e38, -3e38, 1e-38, 1.5e-40], dtype)


def test_a_nan_that_signals_is_neither_a_loss_nor_a_warning() -> None:
    found: list[Loss] = []
    signalling = np.array([0x7F810001], np.uint32).view(np.float32)

    Tensor.of(signalling).cast(ENCODINGS["bf16"], found.append).tobytes()

    assert sum(found, Loss()) == Loss()
