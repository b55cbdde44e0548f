"""Importance matrices in GGUF files, as llama.cpp's `tools/imatrix/imatrix.cpp` has it.

Of each matrix there are two tensors: `NAME.in_sum2`, f32 of (matrices, columns), and
`NAME.counts`, f32 of (matrices, 1).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from aprhub.api import (
    CorruptFileError,
    Importance,
    Layout,
    Measured,
    Tensor,
    UnsupportedFileError,
)
from aprhub_gguf.container import Container, read_container
from aprhub_gguf.general import IMPORTANCE_TYPE, TYPE_KEY
from aprhub_gguf.layout import laid_out
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.values import Entry, u32_entry

_SUMS: Final = ".in_sum2"
_COUNTS: Final = ".counts"
_DATASETS_KEY: Final = "imatrix.datasets"
_CHUNKS_KEY: Final = "imatrix.chunk_count"
_CHUNK_SIZE_KEY: Final = "imatrix.chunk_size"


def open_importance(path: Path) -> Importance:
    """Open an importance matrix; the sums are not read.

    Raises UnsupportedFileError for GGUF files of another kind, CorruptFileError for
    missing keys and for sums and counts that do not belong together.
    """
    container = read_container(path)
    kind = container.entries.get(TYPE_KEY)
    if kind != Entry("string", IMPORTANCE_TYPE):
        found = "missing" if kind is None else f"{kind.value!r:.40}"
        raise UnsupportedFileError(
            path,
            f"{TYPE_KEY} is {found}, expected {IMPORTANCE_TYPE!r}; make an importance"
            " matrix with 'aprhub imatrix'",
        )
    ledger = Ledger(path, container.entries)
    datasets = ledger.texts(_DATASETS_KEY, "importance.datasets")
    if datasets is None:
        raise ledger.missing(_DATASETS_KEY, "every importance matrix")
    return Importance(
        path,
        dict(_measured(container)),
        tuple(datasets),
        _count(ledger, _CHUNKS_KEY),
        _count(ledger, _CHUNK_SIZE_KEY),
        tuple(_unknown(container)),
    )


def _count(ledger: Ledger, key: str) -> int:
    found = ledger.integer(key, "importance")
    if found is None:
        raise ledger.missing(key, "every importance matrix")
    return found


def _measured(container: Container) -> Iterator[tuple[str, Measured]]:
    tensors = container.tensors
    for name, tensor in tensors.items():
        stem, partner = _partner(name)
        if partner is None:
            continue
        if partner not in tensors:
            what = f"there without {partner}, sums and counts belong together"
            raise CorruptFileError(container.path, what, where=name)
        if tensor.encoding.name != "f32":
            what = f"found {tensor.encoding.name}, expected f32"
            raise CorruptFileError(container.path, what, where=name)
        if name.endswith(_SUMS):
            yield stem, Measured(tensor, _counts(container, partner, tensor.size))


def _partner(name: str) -> tuple[str, str | None]:
    """Return the name of the weight, and of the tensor that belongs to this one."""
    for suffix, other in ((_SUMS, _COUNTS), (_COUNTS, _SUMS)):
        if name.endswith(suffix):
            stem = name.removesuffix(suffix)
            return stem, stem + other
    return name, None


def _counts(container: Container, name: str, size: int) -> tuple[int, ...]:
    """Read whole numbers from 0 on, by which `size` sums can be shared out."""
    tensor = container.tensors[name]
    if size % tensor.size or tensor.encoding.name != "f32":
        what = f"found {tensor.encoding.name} {tensor.shape}, expected as many f32 as"
        what += f" divide {size} sums"
        raise CorruptFileError(container.path, what, where=name)
    values = tensor.numpy().reshape(-1)
    whole = np.isfinite(values) & (values >= 0) & (values == np.rint(values))
    if not whole.all():
        what = f"found {values[~whole][0]}, expected whole numbers from 0 on"
        raise CorruptFileError(container.path, what, where=name)
    return tuple(map(int, values))


def _unknown(container: Container) -> Iterator[str]:
    for name in container.tensors:
        if _partner(name)[1] is None:
            yield f"{name}: neither sums of squares nor counts; left unread"


def lay_out_importance(importance: Importance, target: Path) -> Layout:
    """Return the file that llama.cpp would write of the same sums and counts.

    Raises UnrepresentableError for what GGUF cannot hold.
    """
    entries = {
        TYPE_KEY: Entry("string", IMPORTANCE_TYPE),
        _DATASETS_KEY: Entry("array", list(importance.datasets), "string"),
        _CHUNKS_KEY: u32_entry(_CHUNKS_KEY, importance.chunks),
        _CHUNK_SIZE_KEY: u32_entry(_CHUNK_SIZE_KEY, importance.chunk_size),
    }
    tensors = dict(_tensors(importance.entries))
    return laid_out(target, entries, tensors)


def _tensors(entries: Mapping[str, Measured]) -> Iterator[tuple[str, Tensor]]:
    for name, measured in sorted(entries.items()):
        matrices = len(measured.counts)
        # ggml counts no dimensions of one element at the end.
        tall = () if matrices == 1 else (matrices,)
        counts = np.array(measured.counts, np.float32)
        yield name + _SUMS, measured.sums.reshaped(*tall, measured.columns)
        yield name + _COUNTS, Tensor.of(counts.reshape(*tall, 1))
