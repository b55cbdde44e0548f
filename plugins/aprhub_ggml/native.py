"""ggml's own kernels, from the wheel of `libggml-python` where it is installed.

`ggml_quantize_chunk` of `ggml/include/ggml.h`; ctypes releases the interpreter's lock
while it runs. A library of another version may pack blocks otherwise, so the first use
encodes a known input and compares.
"""

import ctypes
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, EnvironmentFailureError

PACKAGE: Final = "libggml"

_LIBRARIES: Final = ("libggml-base.so", "libggml-base.dylib", "ggml-base.dll")
_TYPES: Final = {
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q5_1": 7,
    "q8_0": 8,
    "q2_k": 10,
    "q3_k": 11,
    "q4_k": 12,
    "q5_k": 13,
    "q6_k": 14,
    "iq4_nl": 20,
    "iq4_xs": 23,
    "tq1_0": 34,
    "tq2_0": 35,
    "mxfp4": 39,
    "nvfp4": 40,
}
"""The numbers of `enum ggml_type`."""

_KNOWN: Final = {
    "q4_0": "e17cfe06e288d12d",
    "q4_k": "d8db13f78f40390c",
    "q8_0": "5888b6e3f28aa668",
}
"""SHA-256, its first 16 digits, of what llama.cpp makes of `_sample`.

Of types whose bytes do not depend on how a compiler fuses multiplications and sums.
"""


def encode(name: str, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return `(n, block_elements)` values as `(n, block_bytes)` blocks.

    Raises EnvironmentFailureError when the installed library does not give the known
    bytes.
    """
    return _encoded(_verified(), name, values)


def _encoded(library: Any, name: str, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    encoding = ENCODINGS[name]
    source = np.ascontiguousarray(values, np.float32)
    blocks = np.empty((len(source), encoding.block_bytes), np.uint8)
    if blocks.size:
        library.ggml_quantize_chunk(
            _TYPES[name],
            source.ctypes.data,
            blocks.ctypes.data,
            0,
            len(source),
            encoding.block_elements,
            None,
        )
    return blocks


@cache
def _verified() -> Any:
    path = _path()
    try:
        library = ctypes.CDLL(str(path))
        function = library.ggml_quantize_chunk
    except (OSError, AttributeError) as error:
        raise _unusable(f"{path} cannot be loaded: {error}") from error
    function.restype = ctypes.c_size_t
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = (
        *(ctypes.c_int, pointer, pointer),
        *(whole, whole, whole, pointer),
    )
    for name, digest in _KNOWN.items():
        found = _digest(_encoded(library, name, _sample(name)))
        if found != digest:
            raise _unusable(f"{path} encodes {name} otherwise than expected")
    return library


def _path() -> Path:
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for name in _LIBRARIES:
            found = sorted(Path(folder).glob(f"*/{name}"))
            if found:
                return found[0]
    raise _unusable("the package has no library of ggml")


def _unusable(what: str) -> EnvironmentFailureError:
    return EnvironmentFailureError(
        f"libggml-python: {what}; install the version that 'aprhub[fast]' names, or"
        " uninstall it"
    )


def _sample(name: str) -> NDArray[np.float32]:
    """Return 512 values of several sizes, which are exact on every machine."""
    steps = np.arange(512, dtype=np.int64)
    numbers = (steps * 7919 % 1021 - 510).astype(np.float32)
    scaled = numbers * np.exp2(steps // 64 % 5 - 6).astype(np.float32)
    return scaled.reshape(-1, ENCODINGS[name].block_elements)


def _digest(blocks: NDArray[np.uint8]) -> str:
    return hashlib.sha256(blocks.tobytes()).hexdigest()[:16]
