"""A process that copies parts of files, as the one that has it do so sees it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import BinaryIO, Final, Self, cast

from attrs import define, field

from aprhub.export import copier as program
from aprhub.export.copier import DONE, WINDOW, Job, sent
from aprhub.export.output import PIECE_BYTES
from aprhub.ir.source import FileRange
from aprhub.ir.tensor import Tensor

WORKERS = min(2 * (os.cpu_count() or 1), 8)
"""Twice the cores: half of the time a worker waits for the disk."""

MUCH: Final = 1 << 26
"""How many bytes of tensors are worth a process that copies them."""


@contextlib.contextmanager
def copying(
    tensors: Mapping[str, Tensor], workers: int | None
) -> Iterator["Copier | None"]:
    """Give a process with some threads that copies, where there is much to copy.

    None for the threads means that nobody wants one.
    """
    ranges = (each for each in tensors.values() if isinstance(each.source, FileRange))
    wanted = workers is not None and sum(each.nbytes for each in ranges) >= MUCH
    copier = Copier.started(workers or WORKERS) if wanted else None
    try:
        yield copier
    finally:
        if copier:
            copier.close()


_Streams = tuple[BinaryIO, BinaryIO]


@define
class Copier:
    """A process of our own interpreter that does the jobs it is sent."""

    process: subprocess.Popen[bytes]
    jobs: BinaryIO
    reports: BinaryIO
    _heard: bytes = field(default=b"", init=False)

    @classmethod
    def started(cls, workers: int = WORKERS) -> Self | None:
        """Return a process with some threads; None where none can be started."""
        # Without `site`, whose work its parent has done, it is there in half the time.
        options = ("-S", "-P", "-m", program.__name__)
        command = [sys.executable, *options, str(workers), str(PIECE_BYTES)]
        path = os.pathsep.join(sys.path)
        if not sys.executable:
            return None
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError:
            return None
        return cls(process, *cast("_Streams", (process.stdin, process.stdout)))

    def results(self, jobs: Iterable[Job]) -> Iterator[tuple[int, int | None]]:
        """Send jobs; return the number of each that has ended, in any order.

        With it comes the CRC-32, 0 where it was not wanted; None for a job that was
        not done, as all are once the process has died. The first jobs are with the
        process when this returns, the others go there as the ends are taken.
        """
        left = iter(jobs)
        return self._ends(self._send(left, WINDOW), left)

    def _ends(
        self, waiting: set[int], left: Iterator[Job]
    ) -> Iterator[tuple[int, int | None]]:
        while waiting:
            ended = self._heard_from() or [(number, None) for number in waiting]
            for number, crc in ended:
                waiting.remove(number)
                yield number, crc
            waiting |= self._send(left, WINDOW - len(waiting))

    def _send(self, left: Iterator[Job], most: int) -> set[int]:
        """Send the next jobs; return their numbers."""
        jobs = list(islice(left, most))
        if self.jobs.closed:
            return set()
        # That the process has died is heard, too.
        with contextlib.suppress(OSError):
            self.jobs.write(b"".join(map(sent, jobs)))
            self.jobs.flush()
            if len(jobs) < most:
                self.jobs.close()  # what it has not told yet, it tells at the end
        return {job[0] for job in jobs}

    def _heard_from(self) -> list[tuple[int, int | None]]:
        """Return which jobs have ended, once one has; none if the process has."""
        while len(self._heard) < DONE.size:
            more = os.read(self.reports.fileno(), 1 << 16)
            if not more:
                return []
            self._heard += more
        whole = len(self._heard) // DONE.size * DONE.size
        reports = DONE.iter_unpack(self._heard[:whole])
        self._heard = self._heard[whole:]
        return [(number, crc if done else None) for number, done, crc in reports]

    def close(self) -> None:
        """End the process; when this returns, it writes no more."""
        self.process.kill()
        self.process.wait()
        for stream in (self.jobs, self.reports):
            with contextlib.suppress(OSError):
                stream.close()
