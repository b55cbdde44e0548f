"""Shards: the token ids of a corpus in a folder, one file for each part.

`train.bin` and `validation.bin` are little-endian ids without a header; `corpus.json`
says how many there are and of which type. Where only some tokens are to be learnt, the
highest of 32 bits marks those.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path
from typing import Any, Final

import numpy as np
from attrs import asdict, define, field, frozen
from numpy.typing import NDArray

PARTS: Final = ("train", "validation")
LEARNT: Final = np.uint32(1 << 31)
MARKED: Final = "<u4"
"""The type of ids that may be marked."""

_MANIFEST: Final = "corpus.json"


@frozen
class Extent:
    """How many documents and tokens are in one part of a corpus."""

    documents: int = 0
    tokens: int = 0


@frozen
class Manifest:
    """What a folder of shards has.

    `fingerprint` is a SHA-256 over the ids of all parts: equal ones are equal training
    data, wherever they were made. `largest` is the largest id. `cut` and `dropped`
    count examples that were too long.
    """

    dtype: str
    fingerprint: str
    largest: int
    cut: int
    dropped: int
    parts: Mapping[str, Extent]

    @classmethod
    def of(cls, folder: Path) -> "Manifest | None":
        """Read the manifest of a folder whose files are whole; else return None."""
        try:
            values = json.loads((folder / _MANIFEST).read_text("utf-8"))
            parts = {name: Extent(**values["parts"][name]) for name in PARTS}
            found = cls(**{**values, "parts": parts})
            width = np.dtype(found.dtype).itemsize
            sizes = [_path(folder, name).stat().st_size for name in PARTS]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return found if sizes == [parts[p].tokens * width for p in PARTS] else None

    def tokens(self, folder: Path, part: str) -> NDArray[Any]:
        """Return the ids of a part, mapped into memory."""
        if not self.parts[part].tokens:
            return np.empty(0, self.dtype)
        return np.memmap(_path(folder, part), self.dtype, "r")


@define
class _Part:
    """A part that is being written."""

    file: BufferedWriter
    documents: int = 0
    tokens: int = 0
    digest: Any = field(factory=hashlib.sha256)

    def add(self, ids: NDArray[Any], documents: int) -> None:
        data = ids.tobytes()
        self.file.write(data)
        self.digest.update(data)
        self.documents += documents
        self.tokens += ids.size


@define
class ShardWriter:
    """Writes shards into a folder; `cut` and `dropped` are for the caller to count."""

    folder: Path
    dtype: str
    _parts: dict[str, _Part]
    cut: int = 0
    dropped: int = 0
    _largest: int = 0

    def add(
        self,
        part: str,
        ids: NDArray[np.uint32],
        learnt: NDArray[np.bool_] | None = None,
        documents: int = 1,
    ) -> None:
        """Write the ids of some documents; `learnt` marks those to be learnt."""
        self._largest = max(self._largest, int(ids.max()))
        stored = ids if learnt is None else np.where(learnt, ids | LEARNT, ids)
        self._parts[part].add(stored.astype(self.dtype), documents)

    def finish(self) -> Manifest:
        """Make all files durable and say what is in them."""
        digest = hashlib.sha256()
        for part in self._parts.values():
            digest.update(part.digest.digest())
            part.file.flush()
            os.fsync(part.file.fileno())
        manifest = Manifest(
            self.dtype,
            f"sha256:{digest.hexdigest()}",
            self._largest,
            self.cut,
            self.dropped,
            {name: Extent(p.documents, p.tokens) for name, p in self._parts.items()},
        )
        (self.folder / _MANIFEST).write_text(json.dumps(asdict(manifest)), "utf-8")
        return manifest


@contextmanager
def shard_writer(folder: Path, dtype: str) -> Iterator[ShardWriter]:
    """Give a writer of shards into an empty folder."""
    with (
        _path(folder, PARTS[0]).open("wb") as train,
        _path(folder, PARTS[1]).open("wb") as validation,
    ):
        parts = dict(zip(PARTS, map(_Part, (train, validation)), strict=True))
        yield ShardWriter(folder, dtype, parts)


def _path(folder: Path, part: str) -> Path:
    return folder / f"{part}.bin"
