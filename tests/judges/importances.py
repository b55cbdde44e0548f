"""Importance matrices of test models, written by hand or by the `gguf` package."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import gguf
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

DATASET: Final = "a text.txt"
CHUNKS: Final = 3
CHUNK_SIZE: Final = 512
UNSEEN: Final = "blk.1.ffn_up.weight"
"""A matrix that no text reached: its count is 0."""


@frozen
class Entry:
    """Sums of squares of each input column, and how many vectors were seen.

    Sums of experts are `(experts, columns)`.
    """

    sums: NDArray[np.float32]
    count: int

    @property
    def means(self) -> NDArray[np.float32]:
        """What llama.cpp's `llama-quantize` hands to the quantiser."""
        if not self.count:
            return np.ones_like(self.sums)
        return self.sums / np.float32(self.count)


def entries(model: Path) -> dict[str, Entry]:
    """Return an entry for each matrix that llama-imatrix would measure in a model.

    Columns differ by orders of magnitude, as those of real activations do.
    """
    random = np.random.default_rng(11)
    found = {}
    for tensor in gguf.GGUFReader(model).tensors:
        matrix = len(tensor.shape) > 1 and tensor.name != "token_embd.weight"
        if matrix and tensor.name.endswith(".weight"):
            columns, _, *experts = map(int, tensor.shape)
            spread = random.standard_normal((*experts, columns), np.float32)
            sums = np.exp(spread * np.float32(1.5)) * np.float32(100)
            count = 0 if tensor.name == UNSEEN else CHUNKS * CHUNK_SIZE
            found[tensor.name] = Entry(sums.astype(np.float32), count)
    return found


def write_gguf(path: Path, found: Mapping[str, Entry]) -> Path:
    """Write entries as llama-imatrix does, by the `gguf` package."""
    writer = gguf.GGUFWriter(path, "none")
    writer.kv_data[0].clear()
    writer.add_string("general.type", "imatrix")
    writer.add_array("imatrix.datasets", [DATASET])
    writer.add_uint32("imatrix.chunk_count", CHUNKS)
    writer.add_uint32("imatrix.chunk_size", CHUNK_SIZE)
    for name, entry in sorted(found.items()):
        writer.add_tensor(f"{name}.in_sum2", entry.sums)
        counts = np.full((*entry.sums.shape[:-1], 1), entry.count, np.float32)
        writer.add_tensor(f"{name}.counts", counts)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def legacy(found: Mapping[str, Entry], calls: int = CHUNKS) -> bytes:
    """Return the bytes of the older kind of file: means times a number of calls."""
    parts = [struct.pack("<i", len(found))]
    for name, entry in sorted(found.items()):
        text, values = name.encode(), entry.means * np.float32(calls)
        parts += (struct.pack("<i", len(text)), text)
        parts += (struct.pack("<ii", calls, values.size), values.tobytes())
    text = DATASET.encode()
    return b"".join((*parts, struct.pack("<ii", CHUNKS, len(text)), text))
