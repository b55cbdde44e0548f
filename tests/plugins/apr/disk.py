"""Writes layouts in the plainest way, so that tests need no commit."""

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aprhub.api import (
    Crc32,
    Encoding,
    Layout,
    LayoutOptions,
    Literal,
    Memory,
    Padding,
    StoredModel,
    Tensor,
    TensorData,
)
from aprhub_apr import APR

Segment = Literal | Padding | TensorData | Crc32


def rendered(layout: Layout) -> bytes:
    """Return the bytes of the one file of a layout."""
    (file,) = layout.files
    data = b""
    for segment in file.segments:
        data += _bytes(segment, data)
    return data


def _bytes(segment: Segment, before: bytes) -> bytes:
    if isinstance(segment, Literal):
        return segment.data
    if isinstance(segment, TensorData):
        return segment.tensor.tobytes()
    if isinstance(segment, Crc32):
        return struct.pack("<I", zlib.crc32(before))
    return bytes(segment.nbytes)


def laid_out(stored: StoredModel) -> bytes:
    """Return the bytes of the file that a model becomes."""
    assert APR.lay_out is not None
    return rendered(APR.lay_out(stored, Path("model.apr"), LayoutOptions()))


def opened(path: Path) -> StoredModel:
    """Open a file as the hub does."""
    assert APR.open is not None
    return APR.open(path)


def reopened(stored: StoredModel, folder: Path) -> StoredModel:
    """Write a model and open it again."""
    path = folder / "model.apr"
    path.write_bytes(laid_out(stored))
    return opened(path)


def described(data: bytes) -> dict[str, Any]:
    """Return the metadata in the bytes of a file."""
    offset, size = struct.unpack_from("<QI", data, 12)
    found: dict[str, Any] = json.loads(data[offset : offset + size])
    return found


def packed(shape: tuple[int, ...], encoding: Encoding, data: bytes) -> Tensor:
    """Return a tensor of given encoded bytes."""
    return Tensor(shape, encoding, Memory(np.frombuffer(data, np.uint8)))


def model(tensors: Mapping[str, Tensor], **parts: Any) -> StoredModel:
    """Return a stored model that came from nowhere."""
    return StoredModel("apr", Path("nowhere"), tensors, **parts)
