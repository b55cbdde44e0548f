"""The numpy searches make the bytes of ggml's kernels, with importance and without."""

import platform
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from aprhub.api import ENCODINGS
from aprhub_ggml import native
from aprhub_ggml.portable.encoding import NAMES, WEIGHTED_NAMES, encode

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"),
    reason="builds for other machines fuse products with sums",
)

Values = NDArray[np.float32]
Blocks = NDArray[np.uint8]

ROWS, COLUMNS = 16, 1024
MIB = 1 << 20
RANDOM = np.random.default_rng(12)
NORMAL = RANDOM.standard_normal((ROWS, COLUMNS), np.float32)
SHARES = RANDOM.random((ROWS, COLUMNS), np.float32)
ZERO = np.float32(0)


def _scaled(low: int, high: int, part: int) -> Values:
    """Return values whose parts have sizes from 2^low to 2^high."""
    powers = RANDOM.integers(low, high, (ROWS, COLUMNS // part))
    return NORMAL * np.exp2(powers).astype(np.float32).repeat(part, axis=1)


VALUES: dict[str, Values] = {
    "normal": NORMAL * np.float32(0.02),
    "uniform": SHARES,
    "negative": -SHARES,
    "heavy-tailed": RANDOM.standard_cauchy((ROWS, COLUMNS)).astype(np.float32),
    "log-normal": np.exp(3 * NORMAL) * np.sign(SHARES - np.float32(0.5)),
    "constant": NORMAL[:, :1].repeat(COLUMNS, axis=1),
    "constant-parts": NORMAL[:, ::16].repeat(16, axis=1),
    "parts-of-all-sizes": _scaled(-20, 4, 16),
    "blocks-of-all-sizes": _scaled(-30, 12, 256),
    "integers": np.round(NORMAL * 3),
    "few": np.where(SHARES < 0.01, NORMAL, ZERO),
    "sparse": np.where(SHARES < 0.3, NORMAL, ZERO),
    "zeros": NORMAL * ZERO,
    "zero-minima": np.where(SHARES < 0.3, np.abs(NORMAL), np.copysign(ZERO, NORMAL)),
    "zero-maxima": -np.where(SHARES < 0.3, np.abs(NORMAL), np.copysign(ZERO, NORMAL)),
    "hardly-any": NORMAL * np.float32(1e-15),
    "less": NORMAL * np.float32(1e-17),
    "tiny": NORMAL * np.float32(1e-30),
    "subnormal": NORMAL * np.float32(1e-42),
    "large": NORMAL * np.float32(1e4),
    "overflowing": NORMAL * np.float32(1e20),
}

IMPORTANCE: dict[str, Values | None] = {
    "none": None,
    "even": np.ones(COLUMNS, np.float32),
    "log-normal": np.exp(2 * NORMAL[0]),
    # Where nothing counts, scales can come out below zero.
    "sparse": np.where(SHARES[1] < 0.1, SHARES[2], ZERO),
    "half": np.where(SHARES[1] < 0.5, SHARES[2], ZERO),
    "nothing": np.zeros(COLUMNS, np.float32),
    "huge": SHARES[3] * np.float32(1e20),
}

CASES = [(name, kind) for name in NAMES for kind in IMPORTANCE]
CASES += [
    (name, kind) for name in WEIGHTED_NAMES for kind in IMPORTANCE if kind != "none"
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_blocks_are_those_of_ggml(name: str, kind: str) -> None:
    importance = IMPORTANCE[kind]

    for what, values in VALUES.items():
        expected = native.encode(name, values, importance)

        made = encode(name, values, importance)

        np.testing.assert_array_equal(made, expected, what)


@pytest.mark.parametrize("name", [*NAMES, *WEIGHTED_NAMES])
@pytest.mark.parametrize(("rows", "columns"), [(1, 256), (3, 1024), (300, 256)])
def test_any_number_of_blocks_is_encoded(name: str, rows: int, columns: int) -> None:
    values = np.resize(VALUES["normal"], (rows, columns))
    importance = SHARES[4, :columns]
    expected = native.encode(name, values, importance)

    before = values.copy(), importance.copy()
    made = encode(name, values, importance)

    np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(values, before[0])
    np.testing.assert_array_equal(importance, before[1])


@pytest.mark.parametrize("name", NAMES)
def test_no_values_are_no_blocks(name: str) -> None:
    none = np.empty((0, 256), np.float32)

    assert encode(name, none).shape == (0, ENCODINGS[name].block_bytes)


@pytest.mark.parametrize("name", [*NAMES, *WEIGHTED_NAMES])
def test_what_is_searched_for_at_a_time_is_bounded(name: str) -> None:
    values = np.resize(VALUES["normal"], (512, COLUMNS))

    tracemalloc.start()
    encode(name, values, SHARES[5])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert values.nbytes == 2 * MIB
    assert most < 10 * MIB
