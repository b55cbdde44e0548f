"""Encoders make the bytes of another build of ggml, and agree on signed zeros."""

import ctypes

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from aprhub.api import ENCODINGS
from aprhub_ggml import native, provide_codecs
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


def _by_llama(name: str, values: Values) -> Blocks:
    function = library().c.ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [ctypes.c_int, pointer, pointer, whole, whole, whole, pointer]
    rows, columns = values.shape
    blocks = np.zeros((rows, ENCODINGS[name].block_bytes), np.uint8)
    kind = int(GGMLQuantizationType[name.upper()])
    source, target = values.ctypes.data, blocks.ctypes.data
    assert function(kind, source, target, 0, rows, columns, None) == blocks.nbytes
    return blocks


def _rows(name: str, values: Values) -> Values:
    return values.reshape(-1, ENCODINGS[name].block_elements)


@pytest.mark.parametrize("values", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("name", sorted(NATIVE))
def test_the_kernels_make_the_bytes_of_llama_cpp(name: str, values: Values) -> None:
    rows = _rows(name, values)

    np.testing.assert_array_equal(native.encode(name, rows), _by_llama(name, rows))


@pytest.mark.parametrize("values", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("name", PORTABLE)
def test_the_package_makes_the_bytes_of_llama_cpp(name: str, values: Values) -> None:
    rows = _rows(name, values)

    np.testing.assert_array_equal(encode_by_gguf(name, rows), _by_llama(name, rows))
