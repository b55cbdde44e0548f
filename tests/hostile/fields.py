"""Labelled bytes: what a structured writer makes before it is one file."""

import itertools
from collections.abc import Sequence

Field = tuple[str, bytes]


def joined(fields: Sequence[Field]) -> bytes:
    """Return the bytes of all fields in order."""
    return b"".join(data for _label, data in fields)


def boundaries(fields: Sequence[Field]) -> list[tuple[int, str]]:
    """Return where each field starts, with its label."""
    sizes = [len(data) for _label, data in fields]
    starts = itertools.accumulate(sizes[:-1], initial=0)
    return [(at, label) for at, (label, _data) in zip(starts, fields, strict=True)]


def padded(data: bytes, multiple: int) -> bytes:
    """Return the bytes with zeros up to a multiple."""
    return data + bytes(-len(data) % multiple)
