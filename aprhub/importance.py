"""Importance matrices: written for llama.cpp."""

import numpy as np
from gguf import GGUFWriter

from aprhub.errors import TargetExistsError
from aprhub.ir.importance import Importance
from aprhub.registry import Registry
from aprhub.spec.family import Family


def save_importance(
    importance: Importance, family: Family, registry: Registry, *, force: bool = False
) -> None:
    """Write an importance matrix, entries by canonical name, to its path."""
    if importance.path.exists() and not force:
        raise TargetExistsError(importance.path)
    naming = registry.naming("ggml")
    writer = GGUFWriter(importance.path, "")
    writer.kv_data[0].clear()
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", list(importance.datasets))
    writer.add_uint32("imatrix.chunk_count", importance.chunks)
    writer.add_uint32("imatrix.chunk_size", importance.chunk_size)
    for name, measured in importance.entries.items():
        spelling = naming.to_theirs(name, family)
        stored = spelling.stored if spelling else name
        writer.add_tensor(f"{stored}.in_sum2", measured.sums.numpy())
        counts = np.array(measured.counts, np.float32)
        writer.add_tensor(f"{stored}.counts", counts)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
