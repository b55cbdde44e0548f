import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, Tensor
from aprhub.statistics import statistics
from aprhub.testing.models import random_tensor
from tests.unit.ir.blocks import q8_0


@given(
    arrays.arrays(np.float32, st.integers(1, 60), elements=st.floats(-9, 9, width=32))
)
def test_numbers_of_finite_values_are_those_of_numpy(
    values: NDArray[np.float32],
) -> None:
    found = statistics(Tensor.of(values))

    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.astype(np.float64).mean(), abs=1e-9)
    assert found.zeros == int((values == 0).sum())
    assert (found.nans, found.infinities) == (0, 0)


def test_nans_and_infinities_are_counted_and_left_out_of_the_rest() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 1, 3, 0], np.float32)

    found = statistics(Tensor.of(values)).as_dict()

    assert found == {
        "minimum": 0.0,
        "maximum": 3.0,
        "mean": pytest.approx(4 / 3),
        "zeros": 1,
        "nans": 1,
        "infinities": 2,
    }


def test_a_packed_tensor_is_decoded_first() -> None:
    packed = random_tensor((2, 64), ENCODINGS["q8_0"], seed=1)
    blocks = np.frombuffer(packed.tobytes(), np.uint8).reshape(-1, 34)
    values = q8_0(blocks, blocks[:0])

    found = statistics(packed, q8_0)

    assert found.maximum == values.max()


def test_a_tensor_without_finite_values_has_no_extremes() -> None:
    found = statistics(Tensor.of(np.array([np.nan], np.float32)))

    assert (found.minimum, found.maximum, found.mean) == (None, None, None)
    assert found.nans == 1
