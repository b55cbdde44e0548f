"""Decoders and encoders of ggml's block encodings.

ggml's own kernels do the work where `libggml-python` is installed; else `gguf.quants`
of the `gguf` package, as far as it goes, and beyond that numpy code of ours, with the
same results to the bit. Where numba is installed, it compiles loops for the types that
ggml's are slow at.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from aprhub.api import Codec, hookimpl

_Blocks = NDArray[np.uint8]
_Values = NDArray[np.float32]

_GGUF_NAMES = (
    "q4_0",
    "q4_1",
    "q5_0",
    "q5_1",
    "q8_0",
    "q2_k",
    "q3_k",
    "q4_k",
    "q5_k",
    "q6_k",
    "iq2_xxs",
    "iq2_xs",
    "iq2_s",
    "iq3_xxs",
    "iq3_s",
    "iq1_s",
    "iq1_m",
    "iq4_nl",
    "iq4_xs",
    "tq1_0",
    "tq2_0",
    "mxfp4",
    "nvfp4",
)
"""What `gguf.quants` decodes; the package is imported when a block is decoded."""

_PORTABLE_NAMES = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0", "mxfp4")
"""What `gguf.quants` encodes."""

_WEIGHTED_NAMES = ("q4_0", "q4_1", "q5_0", "q5_1")
"""What `gguf.quants` encodes without importance only, and with it the searches."""

_SEARCHED_NAMES = (
    *("q2_k", "q3_k", "q4_k", "q5_k", "q6_k"),
    *("iq4_nl", "iq4_xs", "nvfp4"),
)
"""What `aprhub_ggml.portable` searches scales for."""

NEEDING_IMPORTANCE = ("iq2_xxs", "iq2_xs", "iq1_s")
"""What ggml encodes with an importance matrix only."""

ON_A_GRID = (*NEEDING_IMPORTANCE, "iq1_m", "iq2_s", "iq3_xxs", "iq3_s")
"""For which ggml searches points of a grid, and ends the process if it finds none."""

_COMPILED_NAMES = (
    *("q2_k", "q3_k", "q5_1", "q6_k"),
    *("iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s"),
    *("iq4_nl", "iq4_xs", "nvfp4"),
)
"""What `aprhub_ggml.loops` decodes faster than ggml, once it is compiled."""

_LARGEST = {"nvfp4": 2688.0}
"""What ggml cuts off at: the largest e2m1, 6, times the largest scale in e4m3, 448."""

_OWN_NAMES = ("q8_1", "q1_0", "q2_0")
"""What the package does not decode, and nothing here encodes."""


def _decode_natively(name: str, blocks: _Blocks) -> _Values:
    from aprhub_ggml.native import decode

    return decode(name, blocks)


def _decode_by_gguf(name: str, blocks: _Blocks) -> _Values:
    from aprhub_ggml.decoding import decode_by_gguf

    return decode_by_gguf(name, blocks)


def _decode_otherwise(name: str, blocks: _Blocks, _header: _Blocks) -> _Values:
    from aprhub_ggml.decoding import OTHERS

    return OTHERS[name](blocks)


_Decoder = Callable[[_Blocks, _Blocks], _Values]


def _decoder(name: str, *, native: bool, compiled: bool) -> tuple[_Decoder, str]:
    """Return what decodes, and whose arithmetic that is."""
    decode, source = _decode_by_gguf, "gguf.quants"
    if native:
        decode, source = _decode_natively, "libggml-python"
    if compiled and name in _COMPILED_NAMES:
        from aprhub_ggml.late import PRICE, LateCompiled

        return LateCompiled(name, decode), f"{source}; numba after {PRICE:.0f} s"
    return lambda blocks, _header: decode(name, blocks), source


def _encode_natively(name: str, values: _Values, importance: _Values | None) -> _Blocks:
    from aprhub_ggml.native import encode

    return encode(name, values, importance)


def _encode_by_gguf(name: str, values: _Values, importance: _Values | None) -> _Blocks:
    if importance is not None and name in _WEIGHTED_NAMES:
        return _encode_by_search(name, values, importance)
    from aprhub_ggml.encoding import encode_by_gguf

    return encode_by_gguf(name, values)


def _encode_by_search(
    name: str, values: _Values, importance: _Values | None
) -> _Blocks:
    from aprhub_ggml.portable.encoding import encode

    return encode(name, values, importance)


_Encoder = Callable[[_Values, _Values | None], _Blocks]


def _encoder(name: str, *, native: bool) -> tuple[_Encoder | None, str]:
    """Return what encodes, and whose arithmetic that is."""
    if native:
        return partial(_encode_natively, name), "libggml-python"
    if name in _PORTABLE_NAMES:
        return partial(_encode_by_gguf, name), "gguf.quants"
    if name in _SEARCHED_NAMES:
        return partial(_encode_by_search, name), "aprhub_ggml.portable"
    return None, ""


@hookimpl
def provide_codecs() -> Iterable[Codec]:
    """Return a codec for each encoding that can be decoded."""
    native = find_spec("libggml") is not None
    compiled = find_spec("numba") is not None
    for name in _GGUF_NAMES:
        encoder, needing = _encoder(name, native=native), name in NEEDING_IMPORTANCE
        takes_nan = native and name not in ON_A_GRID
        yield Codec(
            name,
            *_decoder(name, native=native, compiled=compiled),
            *encoder,
            needs_importance=needing,
            takes_nan=takes_nan,
            largest=_LARGEST.get(name, math.inf),
        )
    for name in _OWN_NAMES:
        decoder = partial(_decode_otherwise, name)
        yield Codec(name, decoder, f"ggml-common.h: block_{name}")
