"""Layouts, and the bytes that they stand for, found the slow and obvious way."""

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from aprhub.api import (
    ENCODINGS,
    Crc32,
    Layout,
    LayoutFile,
    Literal,
    Padding,
    Tensor,
    TensorData,
)
from aprhub.export.commit import Writing
from aprhub.export.staging import staged
from aprhub.spec.layout import Segment


def tensor_data(values: bytes, name: str = "t") -> TensorData:
    """Return bytes as the data of a tensor."""
    return TensorData(name, Tensor.of(np.frombuffer(values, np.uint8)))


def in_file(path: Path, start: int, count: int) -> TensorData:
    """Return bytes of a file as the data of a tensor."""
    return TensorData("f", Tensor.at(path, start, (count,), ENCODINGS["u8"]))


def expected(segments: Iterable[Segment]) -> bytes:
    """Return the bytes of a file with checksums over what is before them."""
    data = b""
    for segment in segments:
        match segment:
            case Literal():
                data += segment.data
            case TensorData():
                data += segment.tensor.tobytes()
            case Padding():
                data += bytes(segment.nbytes)
            case Crc32():
                covered = data[segment.start : segment.stop]
                data += zlib.crc32(covered).to_bytes(4, "little")
    return data


def file_of(*segments: Segment, name: str = "model.bin") -> LayoutFile:
    """Return a file of a layout."""
    return LayoutFile.of(name, segments)


def write(target: Path, *files: LayoutFile, **options: Any) -> dict[str, bytes]:
    """Commit files beside a target and return what they hold."""
    layout = Layout(files)
    with (
        staged(target, is_folder=False) as staging,
        Writing(layout, staging) as writing,
    ):
        writing.outline()
        writing.fill(**options)
        writing.settle()
        staging.publish([file.name for file in files], ())
    return {file.name: (target.parent / file.name).read_bytes() for file in files}


def segments(noise: Path) -> st.SearchStrategy[list[Segment]]:
    """Return sequences of segments of every kind, checksums over all before them."""
    size = noise.stat().st_size
    spans = st.tuples(st.integers(0, size // 2), st.integers(1, size // 2))
    return st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=40).map(Literal),
            st.integers(1, 70).map(Padding),
            st.binary(min_size=1, max_size=90).map(tensor_data),
            spans.map(lambda span: in_file(noise, *span)),
            st.just(Crc32()),
        ),
        max_size=8,
    )
