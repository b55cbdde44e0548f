"""Journal: which pieces of an unfinished output are on the disk, for the next run.

Pieces are noted in batches, each after the files were made durable, so that the journal
never claims what a crash of the machine took away.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import attrs
from attrs import define, field

from aprhub.errors import UsageError
from aprhub.ir.source import FileRange, Memory
from aprhub.ir.tensor import Tensor
from aprhub.spec.layout import Layout, Literal, TensorData
from aprhub.version import VERSION

NAME = ".journal"
INTERVAL = 2.0
"""Seconds between two batches."""

Noted = tuple[int, int, int]
"""The number of a file in its layout, where in it a piece starts, and its bytes."""


@define
class Journal:
    """The pieces that are done; `note` may be called from several threads.

    `settle` makes everything durable that was written until then.
    """

    path: Path
    settle: Callable[[], None]
    done: frozenset[Noted] = frozenset()
    _waiting: list[Noted] = field(factory=list)
    _last: float = field(factory=time.monotonic)
    _lock: Lock = field(factory=Lock)

    @classmethod
    def of(cls, folder: Path, settle: Callable[[], None]) -> "Journal":
        """Return the journal of a staging folder; a torn last line is no entry."""
        path = folder / NAME
        text = path.read_text("utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1].splitlines()
        done = frozenset(tuple(each) for line in whole for each in json.loads(line))
        return cls(path, settle, done)

    def note(self, piece: Noted) -> None:
        """Take note of a piece that was written."""
        with self._lock:
            self._waiting.append(piece)
            if time.monotonic() - self._last < INTERVAL:
                return
            self._last = time.monotonic()
            batch, self._waiting = self._waiting, []
        self._append(batch)

    def close(self) -> None:
        """Note what has been written since the last batch."""
        with self._lock:
            batch, self._waiting = self._waiting, []
        self._append(batch)

    def _append(self, batch: list[Noted]) -> None:
        if not batch:
            return
        self.settle()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(batch) + "\n")
            file.flush()
            os.fsync(file.fileno())


def plan_key(layout: Layout, options: Mapping[str, Any]) -> str:
    """Return what only the same work gives: same inputs, options, layout and version.

    An input is the same when its path, size and time of modification are.
    """
    digest = hashlib.sha256()
    told = sorted((name, str(value)) for name, value in options.items())
    digest.update(repr((VERSION, told)).encode())
    inputs: set[Path] = set()
    for file in layout.files:
        digest.update(repr((file.name, file.nbytes)).encode())
        for segment in file.segments:
            digest.update(f"{type(segment).__name__} {segment.nbytes} ".encode())
            if isinstance(segment, Literal):
                digest.update(segment.data)
            if isinstance(segment, TensorData):
                inputs |= _inputs(segment.tensor, digest)
    for path in sorted(inputs):
        found = path.stat()
        digest.update(repr((str(path), found.st_size, found.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def _inputs(tensor: Tensor, digest: "hashlib._Hash") -> set[Path]:
    """Return the files that a tensor comes from; digest what comes from memory."""
    paths: set[Path] = set()
    origins = list(_origins(tensor))
    if not origins and tensor.size:
        raise UsageError(
            f"a tensor of shape {tensor.shape} cannot be resumed: what it is made of"
            " is not known; leave out --resume"
        )
    for origin in origins:
        if isinstance(origin, FileRange):
            paths.add(origin.path)
        else:
            digest.update(origin.data.data)
    return paths


def _origins(value: Any) -> Iterator[FileRange | Memory]:
    """Yield what an expression is made of in the end."""
    if isinstance(value, FileRange | Memory):
        yield value
    elif attrs.has(type(value)):
        for each in attrs.fields(type(value)):
            yield from _origins(getattr(value, each.name))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _origins(part)
