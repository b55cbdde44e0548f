"""The compiled decoders, called with what their loops take."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from gguf import quants
from numpy.typing import NDArray

from aprhub.api import ENCODINGS
from aprhub_ggml import loops

Blocks = NDArray[np.uint8]
Values = NDArray[np.float32]

_LOOPS: Final[Mapping[str, Callable[..., None]]] = {
    "q2_k": loops.q2_k,
    "q3_k": loops.q3_k,
    "q5_1": loops.q5_1,
    "q6_k": loops.q6_k,
    "iq2_xxs": loops.iq2_xxs,
    "iq2_xs": loops.iq2_xs,
    "iq2_s": loops.iq2_s,
    "iq3_xxs": loops.iq3_xxs,
    "iq3_s": loops.iq3_s,
    "iq4_nl": loops.iq4_nl,
    "iq4_xs": loops.iq4_xs,
    "nvfp4": loops.nvfp4,
}
"""The loop of each type."""

NAMES: Final = frozenset(_LOOPS)
"""What is decoded here."""

_HALVES: Final = np.arange(1 << 16, dtype="<u2").view("<f2").astype(np.float32)
"""Every f16 as f32, `(65536,)`."""


def decode(name: str, blocks: Blocks) -> Values:
    """Return the values of `(n, block_bytes)` blocks as `(n, block_elements)`.

    The first call for a type takes about half a second, to compile it.
    """
    values = np.empty((len(blocks), ENCODINGS[name].block_elements), np.float32)
    tables = [_fixed(each) for each in _tables(name)]
    _LOOPS[name](_fixed(blocks), *tables, values)
    return values


def _tables(name: str) -> list[Values]:
    """Return what the loop of a type looks up, in its order.

    That is scales of all codes, and values `(16,)` or points `(count, 8 or 4)`.
    """
    kind = getattr(quants, name.upper())
    if name == "nvfp4":
        scales = kind.ue4m3_to_fp32(np.arange(256, dtype=np.uint8))
        return [scales.astype(np.float32), np.array(kind.kvalues, np.float32)]
    if name.startswith("iq4"):
        return [_HALVES, np.array(quants.IQ4_NL.kvalues, np.float32)]
    kind.init_grid()
    return [_HALVES] if kind.grid is None else [_HALVES, kind.grid[0, 0]]


def _fixed(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as what the loops are compiled for: contiguous and constant."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
