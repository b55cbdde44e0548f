"""Processes: what those that train one model together say to each other."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch
import torch.distributed as group
from attrs import frozen

from aprhub.errors import AprhubError, EnvironmentFailureError, UsageError
from aprhub.place import ALONE, Place
from aprhub.training.devices import device_of

T = TypeVar("T")

WAIT: Final = timedelta(minutes=30)
"""How long a process waits for another that does not answer, such as for the first
while it writes a checkpoint. One that has ended is noticed at once."""


@frozen
class Processes:
    """This process, its device, and the way to the others, if there are any.

    Every method is called by all of them, in the same order.
    """

    device: torch.device
    place: Place = ALONE

    @property
    def world(self) -> int:
        """How many there are."""
        return self.place.world

    def total(self, value: float) -> float:
        """Return the sum of the values of all, the same to the bit in each."""
        if self.world == 1:
            return value
        summed = torch.tensor(value, dtype=torch.float64, device=self.device)
        group.all_reduce(summed)
        return float(summed)

    def agreed(self, reason: str | None) -> str | None:
        """Return why all are to end: the reason of the first that has one, or None."""
        if not self.total(float(reason is not None)):
            return None
        return next(each for each in self._gathered(reason) if each is not None)

    def by_first(self, work: Callable[[], object]) -> None:
        """Let the first process work, and the others wait until it has.

        What it raises ends them all: the others with an EnvironmentFailureError.
        """
        refusal: AprhubError | None = None
        if self.place.is_first:
            try:
                work()
            except AprhubError as error:
                refusal = error
        told = self._gathered(refusal and str(refusal))[0]
        if refusal is not None:
            raise refusal
        if told is not None:
            raise EnvironmentFailureError(
                f"the first process of the run ended: {told}; mend that, and start all"
                " again"
            )

    def refuse_disagreement(self, told: Mapping[str, Any]) -> None:
        """Raise UsageError where the processes were asked for different things."""
        first, *others = self._gathered(dict(told))
        for rank, other in enumerate(others, 1):
            for name in sorted({*first, *other}):
                mine, its = first.get(name), other.get(name)
                if mine != its:
                    raise UsageError(
                        f"{name} is {mine!r:.80} in process 0 and {its!r:.80} in"
                        f" {rank}; give all the same options and files"
                    )

    def _gathered(self, value: T) -> list[T]:
        """Return the values of all, by rank."""
        if self.world == 1:
            return [value]
        values = [value] * self.world
        group.all_gather_object(values, value)
        return values


@contextmanager
def joined(place: Place, device: str) -> Iterator[Processes]:
    """Give the processes of a run, when all of them are there.

    They speak by NCCL on GPUs, one for each on a machine, and else by Gloo. Raises
    EnvironmentFailureError where another one is lost; this one should then end, too.
    """
    found = Processes(device_of(device, place), place)
    if found.world == 1:
        yield found
        return
    has_gpu = found.device.type == "cuda"
    if has_gpu:
        torch.cuda.set_device(found.device)
    with _losses_named():
        group.init_process_group("nccl" if has_gpu else "gloo", timeout=WAIT)
        try:
            yield found
            group.barrier()
        finally:
            group.destroy_process_group()


@contextmanager
def _losses_named() -> Iterator[None]:
    """Turn what torch raises where a process is lost into an error of the machine.

    Gloo raises RuntimeError, which only its source file in the message tells apart.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, group.DistError) and "/gloo/" not in str(error):
            raise
        cause = str(error).partition("\n")[0]
        raise EnvironmentFailureError(
            f"another process of the run ended or cannot be reached ({cause}); start"
            " all again with --resume, from the last checkpoint"
        ) from error
