"""Decoders of ggml's block encodings.

The arithmetic is that of `gguf.quants` in the `gguf` package, which its authors check
against ggml bit by bit; `q8_1`, which the package leaves out, is here.
"""

from collections.abc import Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from aprhub.api import Codec, hookimpl

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

_OWN_NAME = "q8_1"


def _decode_by_gguf(
    name: str, blocks: NDArray[np.uint8], _header: NDArray[np.uint8]
) -> NDArray[np.float32]:
    from aprhub_ggml.decoding import decode_by_gguf

    return decode_by_gguf(name, blocks)


def _decode_q8_1(
    blocks: NDArray[np.uint8], _header: NDArray[np.uint8]
) -> NDArray[np.float32]:
    from aprhub_ggml.decoding import decode_q8_1

    return decode_q8_1(blocks)


@hookimpl
def provide_codecs() -> Iterable[Codec]:
    """Return a codec for each encoding that can be decoded."""
    for name in _GGUF_NAMES:
        yield Codec(name, partial(_decode_by_gguf, name), "gguf.quants")
    yield Codec(_OWN_NAME, _decode_q8_1, "ggml-common.h: block_q8_1")
