"""A valid model of 200 MB, so that a conversion can be met in the middle."""

import struct
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final

from attrs import evolve

from tests.hostile import gguf_file
from tests.hostile.gguf_file import U32, GgufFile, Info, Writer, elements

INTERMEDIATE: Final = 2**18
PIECE: Final = struct.pack("<65536f", *((i % 2001 - 1000) / 4096 for i in range(65536)))


def write(path: Path) -> Path:
    """Write the tiny model with a very wide feed-forward part as GGUF."""
    file = _widened(gguf_file.valid())
    with path.open("wb") as out:
        out.write(file.tobytes())
        for info in file.infos:
            size = elements(info) * 4
            for start in range(0, size, len(PIECE)):
                out.write(PIECE[: size - start])
    return path


def _widened(file: GgufFile) -> GgufFile:
    key = "llama.feed_forward_length"
    wider = file.with_pair(key, U32, Writer().u32(INTERMEDIATE))
    return evolve(wider, infos=tuple(_wider(file.infos)), data=b"")


def _wider(infos: tuple[Info, ...]) -> Iterator[Info]:
    shapes = [
        tuple(INTERMEDIATE if dim == 48 else dim for dim in i.dims) for i in infos
    ]
    wide = [evolve(info, dims=dims) for info, dims in zip(infos, shapes, strict=True)]
    sizes = [elements(info) * 4 for info in wide]
    for info, offset in zip(wide, accumulate(sizes, initial=0), strict=False):
        yield evolve(info, offset=offset)
