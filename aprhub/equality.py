"""Whether two tensors are the same, without holding either in memory."""

from concurrent.futures import ThreadPoolExecutor
from threading import local

import numpy as np

from aprhub.ir.source import Bytes
from aprhub.ir.tensor import Tensor

WORKERS = 2
_PIECE_BYTES = 1 << 20


def same_bytes(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same shape, encoding and encoded bytes."""
    if (one.shape, one.encoding) != (other.shape, other.encoding):
        return False
    if one.source == other.source:
        return True
    own = local()

    def same(piece: tuple[int, int]) -> bool:
        start, length = piece
        # Memory is kept for the next piece: new pages cost more than to compare them.
        if not hasattr(own, "rooms") or own.rooms.shape[1] < length:
            own.rooms = np.empty((2, length + -length % 8), np.uint8)
        left, right = own.rooms[:, :length]
        one.read_into(start, left)
        other.read_into(start, right)
        return _equal(left, right)

    with ThreadPoolExecutor(WORKERS) as pool:
        return all(pool.map(same, one.chunks(_PIECE_BYTES)))


def _equal(left: Bytes, right: Bytes) -> bool:
    """Compare bytes, eight at a time as far as that goes."""
    whole = left.size // 8 * 8
    words = np.array_equal(left[:whole].view("<u8"), right[:whole].view("<u8"))
    return words and np.array_equal(left[whole:], right[whole:])
