"""The arithmetic of the schemes, against plain numpy over the whole matrix."""

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from aprhub.api import Tensor
from aprhub.ir.computed import Packed
from aprhub_packed import provide_packings

(PACKING,) = (each for each in provide_packings() if each.schemes)
ROWS, COLUMNS = 300, 1024
"""More values than a part is computed from at once."""
GROUPS = {"w4a16": 128, "w8a16": 128, "w8a8": COLUMNS, "fp8_dynamic": COLUMNS}
HALVES = {"w4a16": 7.5, "w8a16": 127.5, "w8a8": 127.5, "fp8_dynamic": 448.0}


def _weight(dtype: type) -> NDArray[np.float32]:
    values = np.random.default_rng(3).standard_normal((ROWS, COLUMNS), np.float32)
    values[7, :128] = 0
    return values.astype(dtype)


def _parts(scheme: str, weight: NDArray[np.float32]) -> dict[str, Tensor]:
    source = PACKING.packed(scheme, Tensor.of(weight)).source
    assert isinstance(source, Packed)
    return dict(source.parts)


@pytest.mark.parametrize(
    ("dtype", "epsilon"),
    [(np.float32, 2**-23), (np.float16, 2**-10), (ml_dtypes.bfloat16, 2**-7)],
)
@pytest.mark.parametrize("scheme", GROUPS)
def test_scales_are_of_the_largest_value_of_each_group(
    scheme: str, dtype: type, epsilon: float
) -> None:
    weight = _weight(dtype)
    grouped = np.abs(weight.astype(np.float32)).reshape(ROWS, -1, GROUPS[scheme])

    scales = _parts(scheme, weight)["weight_scale"].numpy()

    expected = (grouped.max(axis=2) / np.float32(HALVES[scheme])).astype(dtype)
    expected[expected == 0] = epsilon
    assert scales.dtype == dtype
    np.testing.assert_array_equal(scales, expected)


@pytest.mark.parametrize("scheme", GROUPS)
def test_no_value_is_further_from_its_code_than_half_a_step(scheme: str) -> None:
    weight = _weight(np.float32)
    packed = PACKING.packed(scheme, Tensor.of(weight))

    scales = _parts(scheme, weight)["weight_scale"].numpy()
    steps = np.repeat(scales, GROUPS[scheme], axis=1)

    # The largest code is half a step below the largest value; floats are coarser.
    bound = 16.0 if scheme == "fp8_dynamic" else 0.5
    error = np.abs(packed.decoded().numpy() - weight)
    assert np.all(error <= steps * bound * 1.0001)


@pytest.mark.parametrize("scheme", GROUPS)
def test_rows_on_their_own_are_those_of_the_whole(scheme: str) -> None:
    for part in _parts(scheme, _weight(np.float32)).values():
        whole = np.frombuffer(part.tobytes(), np.uint8)
        for start, stop in [(0, 1), (5, 4099), (len(whole) - 7, len(whole))]:
            if stop <= len(whole):
                out = np.empty(stop - start, np.uint8)
                part.read_into(start, out)
                assert np.array_equal(out, whole[start:stop])
