"""Encoders make the bytes of another build of ggml, and agree on signed zeros."""

import ctypes
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from aprhub.api import ENCODINGS
from aprhub_ggml import NEEDING_IMPORTANCE, ON_A_GRID, native, provide_codecs
from aprhub_ggml.encoding import encode_by_gguf
from tests.judges.llama_api import library

NATIVE = {codec.name: codec for codec in provide_codecs() if codec.encode}
PORTABLE = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0", "mxfp4")
SIZE = 1 << 14

Values = NDArray[np.float32]
Blocks = NDArray[np.uint8]


def _inputs() -> dict[str, Values]:
    random = np.random.default_rng(8)
    normal = random.standard_normal(SIZE, np.float32)
    kept, zero = random.random(SIZE) < 0.3, np.float32(0)
    return {
        "normal": normal * np.float32(0.02),
        "uniform": random.random(SIZE, np.float32),
        "constant": np.full(SIZE, 0.3, np.float32),
        "tiny": normal * np.float32(1e-30),
        "subnormal": normal * np.float32(1e-42),
        "large": normal * np.float32(1e4),
        "overflowing": normal * np.float32(1e30),
        "signed-zeros": normal * kept,
        "zero-minima": np.where(kept, np.abs(normal), np.copysign(zero, normal)),
        "negative-zeros": np.full(SIZE, -0.0, np.float32),
    }


INPUTS = _inputs()


def _by_llama(name: str, values: Values, weights: Values | None) -> Blocks:
    function = library().c.ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [ctypes.c_int, pointer, pointer, whole, whole, whole, pointer]
    encoding, (rows, columns) = ENCODINGS[name], values.shape
    count = values.size // encoding.block_elements
    blocks = np.zeros((count, encoding.block_bytes), np.uint8)
    kind = int(GGMLQuantizationType[name.upper()])
    source, target = values.ctypes.data, blocks.ctypes.data
    importance = None if weights is None else weights.ctypes.data
    size = function(kind, source, target, 0, rows, columns, importance)
    assert size == blocks.nbytes
    return blocks


def _rows(name: str, values: Values) -> Values:
    return values.reshape(-1, ENCODINGS[name].block_elements)


def _marked(name: str) -> Any:
    """Return a name; slow where ggml takes seconds for tables, once in each build."""
    patient = ("iq1_s", "iq1_m", "iq2_xs", "iq2_s")
    return pytest.param(name, marks=[pytest.mark.slow] * (name in patient))


TAKING_NAN = [each for each in NATIVE.values() if each.takes_nan]
VARYING = "iq1_m"
"""ggml's releases sum up its candidates in another order and break ties otherwise."""
STABLE = {*NATIVE} - {VARYING}
ALL = [_marked(name) for name in sorted(STABLE)]
UNWEIGHED = [_marked(name) for name in sorted(STABLE - {*NEEDING_IMPORTANCE})]
FATAL = ("overflowing",)
"""Over which ggml ends the process, for some types."""


@pytest.mark.parametrize("kind", sorted({*INPUTS} - {*FATAL}))
@pytest.mark.parametrize("name", UNWEIGHED)
def test_the_kernels_make_the_bytes_of_llama_cpp(name: str, kind: str) -> None:
    rows = _rows(name, INPUTS[kind])

    found = native.encode(name, rows, None)

    np.testing.assert_array_equal(found, _by_llama(name, rows, None))


@pytest.mark.parametrize("name", sorted({*NATIVE} - {*ON_A_GRID}))
def test_scales_overflow_as_those_of_llama_cpp(name: str) -> None:
    rows = _rows(name, INPUTS["overflowing"])

    found = native.encode(name, rows, None)

    np.testing.assert_array_equal(found, _by_llama(name, rows, None))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", sorted(each.name for each in TAKING_NAN))
def test_values_without_number_become_those_of_llama_cpp(
    name: str, value: float
) -> None:
    rows = _rows(name, INPUTS["normal"].copy())
    rows[1, 7] = rows[-1, 0] = rows[-1, 1] = value

    for weights in (None, np.ones(rows.shape[1], np.float32)):
        found = native.encode(name, rows, weights)

        np.testing.assert_array_equal(found, _by_llama(name, rows, weights))


def _weights() -> dict[str, Values]:
    """Return what each of 512 columns costs."""
    random = np.random.default_rng(9)
    spread = np.exp(random.standard_normal(512)).astype(np.float32)
    return {
        "spread": spread,
        "ones": np.ones(512, np.float32),
        "zeros": np.zeros(512, np.float32),
        "sparse": spread * (random.random(512) < 0.1),
        "half": np.where(np.arange(512) < 256, np.float32(0), spread),
        "tiny": spread * np.float32(1e-30),
    }


WEIGHTS = _weights()


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS.keys())
@pytest.mark.parametrize("name", ALL)
def test_importance_is_weighed_as_by_llama_cpp(name: str, weights: Values) -> None:
    for values in ("normal", "constant", "signed-zeros"):
        rows = INPUTS[values].reshape(-1, 512)

        found = native.encode(name, rows, weights)

        np.testing.assert_array_equal(found, _by_llama(name, rows, weights))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "uniform", "signed-zeros"])
def test_where_releases_of_ggml_differ_neither_is_closer(kind: str) -> None:
    rows, weights = INPUTS[kind].reshape(-1, 512), WEIGHTS["spread"]

    def error(blocks: Blocks) -> float:
        values = NATIVE[VARYING].decode(blocks, np.empty(0, np.uint8))
        return float((weights * (values.reshape(rows.shape) - rows) ** 2).sum())

    ours = error(native.encode(VARYING, rows, weights))

    assert ours == pytest.approx(error(_by_llama(VARYING, rows, weights)), rel=0.02)


@pytest.mark.parametrize("values", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("name", PORTABLE)
def test_the_package_makes_the_bytes_of_llama_cpp(name: str, values: Values) -> None:
    rows = _rows(name, values)

    found = encode_by_gguf(name, rows)

    np.testing.assert_array_equal(found, _by_llama(name, rows, None))
