"""Orders: in which wrong orders the rows of a weight may stand."""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aprhub.ir.config import ModelConfig

Order = NDArray[np.int64]

_ROTATED = re.compile(r"layers\.\d+\.attn\.(?P<which>[qk])\.(weight|bias)")
_PAIRED = "pairs of neighbours (2i, 2i + 1)"
_HALVED = "halves (i, i + d/2)"


def wrong_orders(
    name: str, rows: int, config: ModelConfig
) -> Iterator[tuple[Order, str]]:
    """Yield orders that conversions are known to leave rows in, and what each is.

    `order[i]` is the right row that stands in row `i`.
    """
    rotated = _ROTATED.fullmatch(name)
    if rotated:
        yield from _rotary_orders(rotated["which"], rows, config)
    yield np.arange(rows)[::-1], "the last row first"
    if rows % 2 == 0:
        yield np.roll(np.arange(rows), rows // 2), "the second half before the first"
    for shift in (1, -1):
        yield np.roll(np.arange(rows), shift), f"rolled by {shift} row"


def _rotary_orders(
    which: str, rows: int, config: ModelConfig
) -> Iterator[tuple[Order, str]]:
    """Yield orders of rotary rows, for the right count of heads and for the other."""
    counts = [config.num_heads, config.num_kv_heads]
    own, other = counts if which == "q" else reversed(counts)
    for heads in dict.fromkeys((own, other)):
        if not heads or rows % (2 * heads):
            continue
        paired = np.arange(rows).reshape(heads, 2, -1).swapaxes(1, 2).reshape(-1)
        named = f"{heads} heads of {rows // heads} rows"
        yield paired, f"{named} are in {_PAIRED}, not in {_HALVED}"
        yield np.argsort(paired), f"{named} were taken out of {_PAIRED} once too often"
        if own and heads != own and rows % (2 * own) == 0:
            right = np.arange(rows).reshape(own, 2, -1).swapaxes(1, 2).reshape(-1)
            mixed = f"put in {_PAIRED} as {heads} heads and back as {own}"
            yield paired[np.argsort(right)], mixed
            mixed = f"put in {_PAIRED} as {own} heads and back as {heads}"
            yield right[np.argsort(paired)], mixed
