"""The values of two tensors side by side, in bounded memory."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from aprhub.ir.encoding import F32
from aprhub.ir.tensor import Tensor

Values = NDArray[np.float32]

_PIECE_BYTES = 1 << 21


def paired_values(
    one: Tensor, other: Tensor, limit: int | None = None
) -> Iterator[tuple[Values, Values]]:
    """Yield pieces of the f32 values of two tensors of one shape, in their order.

    The arrays are overwritten by the next pair. With a `limit`, there is one pair only,
    of so many bytes if the tensors are larger. Raises UnrepresentableError where no
    codec decodes an encoding.
    """
    tensors = one.cast(F32), other.cast(F32)
    room = np.empty((2, 0), np.uint8)
    pieces = tensors[0].chunks(limit or _PIECE_BYTES)
    for start, length in islice(pieces, 1) if limit else pieces:
        if room.shape[1] < length:
            room = np.empty((2, length), np.uint8)
        for tensor, piece in zip(tensors, room, strict=True):
            tensor.read_into(start, piece[:length])
        left, right = room[:, :length].view("<f4")
        yield left, right
