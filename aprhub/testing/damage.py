"""Files cut and damaged, and whether a format refuses them in the right way."""

from collections.abc import Iterator
from pathlib import Path

from aprhub.api import AprhubError, Format, InputError, StoredModel

FLIPS = 150
"""How many places of a file are damaged, in each of two ways."""


def extents(stored: StoredModel) -> dict[Path, range]:
    """Return the files that hold tensors, each with the bytes that tensors span."""
    found: dict[Path, range] = {}
    for tensor in stored.tensors.values():
        for each in tensor.segments() or ():
            before = found.get(each.path, range(each.offset, each.offset))
            stop = max(before.stop, each.offset + each.nbytes)
            found[each.path] = range(min(before.start, each.offset), stop)
    return found


def cut(data: bytes, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the data cut to sizes below `end`: small ones, some, and those just below.

    What follows the last tensor may be optional, so it is left alone.
    """
    some = range(0, end, max(end // 97, 1))
    for size in sorted({*range(min(end, 48)), *some, *range(max(end - 3, 0), end)}):
        yield size, data[:size]


def damaged(data: bytes, tensors: range) -> Iterator[bytes]:
    """Yield the data with one byte inverted, or eight set, outside of the tensors."""
    places = [*range(tensors.start), *range(tensors.stop, len(data))]
    for place in places[:: max(len(places) // FLIPS, 1)]:
        yield data[:place] + bytes((data[place] ^ 0xFF,)) + data[place + 1 :]
        yield (data[:place] + b"\xff" * 8 + data[place + 8 :])[: len(data)]


def is_refused(format: Format, path: Path, file: Path, data: bytes) -> bool:
    """Return whether a model is refused as an input when a file of it has this data.

    The file has its own data again afterwards. Errors of other kinds pass through.
    """
    whole = file.read_bytes()
    file.write_bytes(data)
    try:
        format.opened(path)
    except InputError:
        return True
    except AprhubError:
        return False
    else:
        return False
    finally:
        file.write_bytes(whole)
