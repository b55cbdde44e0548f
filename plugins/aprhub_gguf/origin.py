"""Keys that name the importance matrix of a quantised model.

As `tools/quantize/quantize.cpp` of llama.cpp writes them.
"""

import os
from collections.abc import Iterator
from typing import Final

from aprhub.api import Importance
from aprhub_gguf.values import Entry, u32_entry

_FILE: Final = "quantize.imatrix.file"
_DATASET: Final = "quantize.imatrix.dataset"
_ENTRIES: Final = "quantize.imatrix.entries_count"
_CHUNKS: Final = "quantize.imatrix.chunks_count"
ORIGIN_KEYS: Final = (_FILE, _DATASET, _ENTRIES, _CHUNKS)

_TEXT_BYTES: Final = 127
"""The longest text that llama.cpp puts there."""


def importance_entries(importance: Importance | None) -> Iterator[tuple[str, Entry]]:
    """Yield what a model says of the matrix that it was quantised with, if any."""
    if importance is None:
        return
    yield _FILE, _shortened(os.fsencode(importance.path))
    for dataset in importance.datasets[:1]:
        yield _DATASET, _shortened(dataset.encode())
    yield _ENTRIES, u32_entry(_ENTRIES, len(importance.entries))
    if importance.chunks:
        yield _CHUNKS, u32_entry(_CHUNKS, importance.chunks)


def _shortened(text: bytes) -> Entry:
    return Entry("string", text[:_TEXT_BYTES].decode(errors="ignore"))
