"""ggml's own kernels, from the wheel of `libggml-python` where it is installed.

`ggml_quantize_chunk` of `ggml/include/ggml.h` and the functions `dequantize_row_*` of
`ggml/src/ggml-quants.h`; ctypes releases the interpreter's lock while they run. A
library of another version may pack blocks otherwise, so the first use encodes and
decodes a known input and compares.
"""

import ctypes
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, EnvironmentFailureError, UnrepresentableError
from aprhub_ggml import NEEDING_IMPORTANCE, ON_A_GRID

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
    "iq2_xxs": 16,
    "iq2_xs": 17,
    "iq3_xxs": 18,
    "iq1_s": 19,
    "iq4_nl": 20,
    "iq3_s": 21,
    "iq2_s": 22,
    "iq4_xs": 23,
    "iq1_m": 29,
    "tq1_0": 34,
    "tq2_0": 35,
    "mxfp4": 39,
    "nvfp4": 40,
}
"""The numbers of `enum ggml_type`."""

_LARGEST_TERM: Final = 2.0**120
"""Of which a super-block's 256 are still a finite f32."""

_KNOWN: Final = {
    "q4_0": ("e17cfe06e288d12d", "7f275348d84731e2"),
    "q4_k": ("d8db13f78f40390c", "f3279830ecaa5415"),
    "q8_0": ("5888b6e3f28aa668", "5be2379f5388e46c"),
}
"""SHA-256, its first 16 digits, of `_sample` as llama.cpp encodes it, and decodes that.

Of types whose bytes do not depend on how a compiler fuses multiplications and sums.
"""


def encode(
    name: str, values: NDArray[np.float32], importance: NDArray[np.float32] | None
) -> NDArray[np.uint8]:
    """Return rows of values as `(n, block_bytes)` blocks.

    Raises EnvironmentFailureError when the installed library does not give the known
    bytes, UnrepresentableError for what it would end the process over.
    """
    if importance is None and name in NEEDING_IMPORTANCE:
        what = "is only made with an importance matrix; give one with --imatrix"
        raise UnrepresentableError(name, what)
    if name in ON_A_GRID:
        _refuse_overflow(name, values, importance)
    return _encoded(_verified(), name, values, importance)


def decode(name: str, blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the values of `(n, block_bytes)` blocks as `(n, block_elements)`.

    Raises EnvironmentFailureError as `encode` does.
    """
    return _decoded(_verified(), name, blocks)


def _refuse_overflow(
    name: str, values: NDArray[np.float32], importance: NDArray[np.float32] | None
) -> None:
    """Raise UnrepresentableError for values whose search is for infinite sums.

    What is summed up over a block is no more than a weight times a value's cube.
    """
    largest = float(max(values.max(initial=0), -values.min(initial=0)))
    weight = 1.0 if importance is None else float(importance.max(initial=1))
    if not weight * largest**3 <= _LARGEST_TERM:
        raise UnrepresentableError(
            name,
            f"cannot be searched for values as large as {largest:g} with an importance"
            f" of {weight:g}; choose another type with --tensor-type",
        )


def _encoded(
    library: Any,
    name: str,
    values: NDArray[np.float32],
    importance: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    encoding = ENCODINGS[name]
    source = np.ascontiguousarray(values, np.float32)
    weights = None if importance is None else np.ascontiguousarray(importance)
    count = source.size // encoding.block_elements
    blocks = np.empty((count, encoding.block_bytes), np.uint8)
    if blocks.size:
        library.ggml_quantize_chunk(
            _TYPES[name],
            source.ctypes.data,
            blocks.ctypes.data,
            0,
            *source.shape,
            None if weights is None else weights.ctypes.data,
        )
    return blocks


def _decoded(library: Any, name: str, blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    source = np.ascontiguousarray(blocks)
    values = np.empty((len(source), ENCODINGS[name].block_elements), np.float32)
    # The library spells its K types with a capital, and only those.
    function = getattr(library, f"dequantize_row_{name.replace('_k', '_K')}")
    function(
        ctypes.c_void_p(source.ctypes.data),
        ctypes.c_void_p(values.ctypes.data),
        ctypes.c_int64(values.size),
    )
    return values


@cache
def _verified() -> Any:
    path = _path()
    try:
        library = ctypes.CDLL(str(path))
        function = library.ggml_quantize_chunk
    except (OSError, AttributeError) as error:
        what = f"{path} cannot be loaded: {error}; install what 'aprhub[fast]' names"
        raise _unusable(what) from error
    function.restype = ctypes.c_size_t
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = (
        *(ctypes.c_int, pointer, pointer),
        *(whole, whole, whole, pointer),
    )
    for name, known in _KNOWN.items():
        blocks = _encoded(library, name, _sample(name))
        if (_digest(blocks), _digest(_decoded(library, name, blocks))) != known:
            raise _unusable(
                f"{path} packs {name} otherwise than expected; install what"
                " 'aprhub[fast]' names"
            )
    return library


def _path() -> Path:
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for name in _LIBRARIES:
            found = sorted(Path(folder).glob(f"*/{name}"))
            if found:
                return found[0]
    what = "the package has no library of ggml; install what 'aprhub[fast]' names"
    raise _unusable(what)


def _unusable(what: str) -> EnvironmentFailureError:
    return EnvironmentFailureError(f"libggml-python: {what}, or uninstall it")


def _sample(name: str) -> NDArray[np.float32]:
    """Return 512 values of several sizes, which are exact on every machine."""
    steps = np.arange(512, dtype=np.int64)
    numbers = (steps * 7919 % 1021 - 510).astype(np.float32)
    scaled = numbers * np.exp2(steps // 64 % 5 - 6).astype(np.float32)
    return scaled.reshape(-1, ENCODINGS[name].block_elements)


def _digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]
