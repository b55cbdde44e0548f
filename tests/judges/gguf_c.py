"""llama.cpp's own reader of the GGUF container, without any model behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_char_p
from pathlib import Path

from attrs import frozen

from tests.judges.errors import JudgeError
from tests.judges.llama_api import GgufParams, library


@frozen
class Placed:
    """One tensor of a file as the C reader sees it.

    `shape` is outermost first, without leading ones: the container does not tell
    them from absent dimensions. `offset` counts from the start of the file.
    """

    name: str
    type_id: int
    shape: tuple[int, ...]
    offset: int
    size: int


def tensors(path: Path) -> list[Placed]:
    """Return the tensors of one GGUF file in the order of its table.

    Raises JudgeError with the reader's own words when it refuses the file.
    """
    with _opened(path) as found:
        count = library().c.gguf_get_n_tensors(found)
        return [_placed(found, i) for i in range(count)]


def number(path: Path, key: str) -> int:
    """Return the value of a key that is an unsigned number of 32 bits.

    Raises JudgeError where the reader refuses the file or the key is missing.
    """
    with _opened(path) as found:
        place = library().c.gguf_find_key(found, key.encode())
        if place < 0:
            raise JudgeError(f"{path} has no key {key}")
        value: int = library().c.gguf_get_val_u32(found, place)
        return value


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    c, journal = library().c, library().journal
    journal.clear()
    found = c.gguf_init_from_file(c_char_p(bytes(path)), GgufParams(True, None))
    if not found:
        raise JudgeError(f"llama.cpp cannot parse {path}:\n{journal.complaints}")
    try:
        yield found
    finally:
        c.gguf_free(found)


def _placed(found: int, index: int) -> Placed:
    c = library().c
    shape = tuple(c.gguf_get_tensor_ne(found, index)[:4])[::-1]
    leading = next((i for i, length in enumerate(shape) if length != 1), 3)
    return Placed(
        name=c.gguf_get_tensor_name(found, index).decode(),
        type_id=c.gguf_get_tensor_type(found, index),
        shape=shape[leading:],
        offset=c.gguf_get_data_offset(found) + c.gguf_get_tensor_offset(found, index),
        size=c.gguf_get_tensor_size(found, index),
    )
