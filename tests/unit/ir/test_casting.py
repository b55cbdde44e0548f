import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

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


def test_every_f16_becomes_the_f32_that_it_is() -> None:
    codes = np.arange(1 << 16, dtype=np.uint16)
    stored = Tensor((codes.size,), ENCODINGS["f16"], Memory.of(codes))

    found = stored.cast(ENCODINGS["f32"]).numpy()

    np.testing.assert_array_equal(found, codes.view(np.float16).astype(np.float32))


def test_f32_is_rounded_to_f16_as_numpy_does() -> None:
    codes = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    exact = codes[np.isfinite(codes)].astype(np.float32)
    # Ties are where only the highest of the bits that go is set.
    ties = exact.view(np.uint32) | np.uint32(0x1000)
    near = [(ties + np.uint32(step)).view(np.float32) for step in (0, 1, 0xFFF)]
    near += [(ties - np.uint32(1)).view(np.float32), exact, exact * np.float32(0.5)]
    beyond: NDArray[np.float32] = np.array([np.inf, -np.inf, 1e30], np.float32)
    values = np.concatenate([*near, beyond])

    _require_as_numpy(values)


@given(
    bits=st.lists(st.integers(0, (1 << 32) - 1), max_size=50),
    ordinary=st.integers(0, 200),
)
def test_any_f32_is_rounded_to_f16_as_numpy_does(
    bits: list[int], ordinary: int
) -> None:
    odd = np.array(bits, np.uint32).view(np.float32)

    _require_as_numpy(np.concatenate([odd, np.full(ordinary, 0.1, np.float32)]))


def _require_as_numpy(values: NDArray[np.float32]) -> None:
    with np.errstate(all="ignore"):
        expected = values.astype(np.float16)

    assert Tensor.of(values).cast(ENCODINGS["f16"]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("target", ["f16", "bf16", "f8_e5m2"])
@given(
    values=st.lists(
        st.floats(width=32) | st.sampled_from([0.0, 1e-40, 7e4, 3.4e38, np.inf]),
        max_size=20,
    )
)
def test_what_a_cast_loses_is_what_it_changes(target: str, values: list[float]) -> None:
    dtype = ENCODINGS[target].dtype
    before = np.array(values, np.float32)
    with np.errstate(all="ignore"):
        after = before.astype(dtype).astype(np.float32)
    changed = (before != after) & ~np.isnan(before)

    assert _losses(values, target) == Loss(
        overflowed=int(np.count_nonzero(changed & np.isinf(after))),
        flushed=int(np.count_nonzero(changed & (after == 0))),
        rounded=int(np.count_nonzero(changed)),
    )
