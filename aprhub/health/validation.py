"""Validation: every byte of a file is read and judged, in pieces, on all cores."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
from attrs import Factory, define, field, frozen

from aprhub.errors import CorruptFileError
from aprhub.export.witness import Witness
from aprhub.health.contents import BITS, Bits, Content, content
from aprhub.health.diagnosis import (
    Diagnosis,
    Doctoring,
    damaged,
    described,
    diagnosed,
    unreadable,
)
from aprhub.ir.encoding import F32
from aprhub.ir.source import FileRange
from aprhub.ir.tensor import Tensor
from aprhub.lift import decodable
from aprhub.registry import Registry
from aprhub.report import SCHEMA
from aprhub.spec.format import StoredModel
from aprhub.spec.health import FIDELITY, Finding
from aprhub.spec.layout import Layout, LayoutFile, TensorData

WORKERS: Final = os.cpu_count() or 1
PIECE_BYTES: Final = 1 << 20
"""Small enough to stay in a core's cache while it is looked at several times."""

_ADVICE: Final = "nothing in the file has the values; get it again, or make it again"


@frozen
class Validation:
    """What is wrong with a file of which every byte was read."""

    diagnosis: Diagnosis
    contents: tuple[Finding, ...]
    tensors: int
    nbytes: int
    seconds: float

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings: of the structure, then of the values."""
        return (*self.diagnosis.findings, *self.contents)

    @property
    def speed(self) -> float:
        """How many gigabytes were read in a second."""
        return self.nbytes / self.seconds / 1e9

    def as_json(self) -> dict[str, Any]:
        """Return the validation as JSON-like data."""
        return {
            "schema": SCHEMA,
            "path": str(self.diagnosis.path),
            "format": self.diagnosis.format.name,
            "valid": not self.findings,
            "tensors": self.tensors,
            "bytes": self.nbytes,
            "seconds": round(self.seconds, 3),
            "gigabytes_per_second": round(self.speed, 2),
            "findings": [described(each) for each in self.findings],
        }


def validated(
    path: Path, registry: Registry, told: Doctoring, workers: int = 0
) -> Validation:
    """Read a whole file and judge its structure, its checksums and its values.

    Memory is bounded by the number of workers. Raises what `diagnosed` raises.
    """
    start = time.perf_counter()
    diagnosis = diagnosed(path, registry, told)
    stored = diagnosis.mended
    found: Sequence[Finding] = ()
    if stored is not None:
        try:
            found = value_findings(stored, registry, workers)
        except CorruptFileError as error:
            found = (unreadable(path, error),)
    tensors = stored.tensors.values() if stored else ()
    return Validation(
        diagnosis,
        tuple(found),
        len(tensors),
        sum(each.nbytes for each in tensors),
        time.perf_counter() - start,
    )


def value_findings(
    stored: StoredModel, registry: Registry, workers: int = 0
) -> list[Finding]:
    """Read all tensors, and what checksums cover; return what is wrong with values.

    Raises CorruptFileError for bytes that are missing.
    """
    tensors = decodable(stored.tensors, registry)
    parts = [_Part.of(name, tensor) for name, tensor in tensors.items()]
    plain = [part.data for part in parts if part.is_stored]
    layout = Layout((LayoutFile.of(stored.path.name, plain),))
    reading = _Reading(_pieces(parts), Witness.of(stored.checksums, layout))
    reading.run(workers or WORKERS)
    reading.witness.read_rest()
    return [
        *(damaged(fault) for fault in reading.witness.faults()),
        *(
            finding
            for name, found in reading.found.items()
            for finding in _findings_of(name, tensors[name], found)
        ),
    ]


@frozen
class _Part:
    """A tensor to read: as it is stored where that tells its values, else decoded."""

    data: TensorData
    bits: Bits | None
    is_stored: bool

    @classmethod
    def of(cls, name: str, tensor: Tensor) -> "_Part":
        bits = BITS.get(tensor.encoding.name)
        is_stored = isinstance(tensor.source, FileRange)
        if bits or not tensor.is_readable or not _has_values(tensor):
            return cls(TensorData(name, tensor), bits, is_stored)
        return cls(TensorData(name, tensor.cast(F32)), BITS["f32"], is_stored=False)


def _has_values(tensor: Tensor) -> bool:
    return tensor.encoding.is_float or tensor.encoding.is_quantized


_Piece = tuple[_Part, int, int]


def _pieces(parts: Sequence[_Part]) -> Iterator[_Piece]:
    for part in parts:
        for start, length in part.data.tensor.chunks(PIECE_BYTES):
            yield part, start, length


@define
class _Reading:
    """Workers that take pieces from one queue and count what is in them."""

    queue: Iterator[_Piece]
    witness: Witness
    found: dict[str, Content] = field(factory=dict)
    _lock: Lock = Factory(Lock)

    def run(self, workers: int) -> None:
        """Read all pieces; raise what the first failure raised."""
        with ThreadPoolExecutor(workers) as pool:
            running = [pool.submit(self._work) for _ in range(workers)]
            for future in running:
                future.result()

    def _work(self) -> None:
        memory = np.empty(PIECE_BYTES, np.uint8)
        while item := self._taken():
            part, start, length = item
            if length > memory.size:
                memory = np.empty(length, np.uint8)
            piece = memory[:length]
            part.data.tensor.read_into(start, piece)
            self.witness.note(part.data, start, piece)
            if part.bits:
                width = np.dtype(part.bits.dtype).itemsize
                self._add(part.data.name, content(piece, part.bits, start // width))

    def _taken(self) -> _Piece | None:
        with self._lock:
            return next(self.queue, None)

    def _add(self, name: str, counted: Content) -> None:
        with self._lock:
            self.found[name] = self.found.get(name, Content()) + counted


def _findings_of(name: str, tensor: Tensor, found: Content) -> Iterator[Finding]:
    """Yield what is wrong with values; vectors may well be constant, or zero."""
    if found.lost is not None:
        place = [int(each) for each in np.unravel_index(found.lost, tensor.shape)]
        counts = {"NaN": found.nans, "infinite": found.infinities}
        listed = " and ".join(f"{n} {what}" for what, n in counts.items() if n)
        problem = f"{listed} of {found.count} values, the first at {place}"
        yield _value(
            "VAL-NAN-001" if found.nans else "VAL-INFINITE-001",
            name,
            problem,
            "finite numbers",
        )
    elif len(tensor.shape) < 2:
        return
    elif found.zeros == found.count:
        yield _value("VAL-ZERO-001", name, f"{found.count} zeros", "weights")
    elif found.is_constant:
        yield _value("VAL-CONSTANT-001", name, f"{found.count} equal values", "weights")
    elif found.is_flooded:
        problem = f"{found.denormals} of {found.count} values are denormal"
        yield _value("VAL-DENORMAL-001", name, problem, "weights of a normal size")


def _value(id: str, name: str, found: str, expected: str) -> Finding:
    return Finding(id, name, found, expected, FIDELITY, obstacle=_ADVICE)
