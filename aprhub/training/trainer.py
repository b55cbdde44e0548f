"""Trainer: a decoder, an optimiser and text, and what one step is."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from attrs import frozen
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from aprhub.corpus import Batch, Batches, Sequences
from aprhub.corpus.sequences import NO_LOSS
from aprhub.course import Course, learning_rate
from aprhub.decoder.model import Decoder
from aprhub.errors import ModelCheckError
from aprhub.training.devices import peak_of
from aprhub.training.optimizer import trained
from aprhub.training.processes import Processes
from aprhub.training.sharding import whole


@frozen
class Stepped:
    """What one step came to.

    `loss` is that before the step, in nats per token; `grad_norm` is that before
    clipping. `utilisation` is the share of the device's peak that the model's own
    arithmetic took (MFU), None where the peak is not known.
    """

    loss: float
    grad_norm: float
    learning_rate: float
    tokens_per_second: float
    utilisation: float | None


@frozen(eq=False)
class Trainer:
    """Trains a decoder on batches, and measures it on sequences.

    `work` is how many operations the model needs for a token. Each of several
    `processes` has its rows of a batch; losses are those of the whole batch. They
    train through `replicas` where each has a whole decoder.
    """

    decoder: Decoder
    optimizer: torch.optim.AdamW
    batches: Batches
    validation: Sequences
    course: Course
    processes: Processes
    work: float
    replicas: DistributedDataParallel | None = None

    def step(self, number: int) -> Stepped:
        """Do the step of a number, counted from 0.

        Raises ModelCheckError for a loss or a gradient that is no finite number; then
        the weights are those before the step.
        """
        start = time.perf_counter()
        rate = learning_rate(self.course, number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        place = self.processes.place
        batch = self.batches.batch(number, place.rank, place.world)
        loss = self._gradients(batch)
        parameters = trained(self.decoder).values()
        clipped = torch.nn.utils.clip_grad_norm_(parameters, self.course.clip)
        norm = whole(clipped).item()
        self._refuse_no_number(number, loss, norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        speed = batch.inputs.size * place.world / (time.perf_counter() - start)
        return Stepped(loss, norm, rate, speed, self._utilisation(speed))

    def _gradients(self, batch: Batch) -> float:
        """Leave the gradients of a batch in the parameters; return its loss.

        The gradient is that of the loss of all processes together, whose number undoes
        that torch takes the mean of theirs.
        """
        world = self.processes.world
        count = self.processes.total(_count(batch))
        total = 0.0
        for part, (inputs, targets) in enumerate(self._parts(batch), 1):
            with self._exchange(is_due=part == self.course.accumulate):
                loss = self._summed_loss(inputs, targets) / count
                (loss * world).backward()  # type: ignore[no-untyped-call]  # so torch
            total += loss.item()
        return self.processes.total(total)

    def _exchange(self, *, is_due: bool) -> AbstractContextManager[None]:
        """Let replicas add up their gradients only when all of them are there.

        Sharded ones do so each time: to keep whole ones would take too much memory.
        """
        if self.replicas is None or is_due:
            return nullcontext()
        return self.replicas.no_sync()

    def _parts(self, batch: Batch) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rows = len(batch.inputs) // self.course.accumulate
        for start in range(0, len(batch.inputs), rows):
            part = slice(start, start + rows)
            inputs, targets = batch.inputs[part], batch.targets[part]
            yield torch.from_numpy(inputs), torch.from_numpy(targets)

    def _summed_loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the sum of the losses at all places that have a target, f32."""
        network, device = self.replicas or self.decoder, self.processes.device
        with self._precision():
            logits = network(inputs.to(device))
        wanted = targets.to(device).flatten()
        return functional.cross_entropy(
            logits.flatten(0, 1).float(),
            wanted,
            ignore_index=NO_LOSS,
            reduction="sum",
        )

    def _precision(self) -> AbstractContextManager[None]:
        wants = self.course.precision == "bf16"
        kind = self.processes.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=wants)

    def _refuse_no_number(self, number: int, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        what = f"the loss is {loss} and the norm of the gradient {norm}"
        raise ModelCheckError(
            f"step {number}",
            f"{what}; the weights are not changed by it; train on from the last"
            " checkpoint in another --run-dir, with a lower --lr",
        )

    def _utilisation(self, speed: float) -> float | None:
        peak = peak_of(self.processes.device)
        if peak is None:
            return None
        return speed * self.work / (peak * self.processes.world)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Return the mean loss over all sequences kept apart, in nats per token.

        Raises ModelCheckError where it is no finite number.
        """
        total, count, place = 0.0, 0, self.processes.place
        rows = self.course.batch_size // self.course.accumulate // place.world
        for batch in self.validation.sweep(rows, place.rank, place.world):
            inputs, targets = map(torch.from_numpy, (batch.inputs, batch.targets))
            total += self._summed_loss(inputs, targets).item()
            count += _count(batch)
        loss = self.processes.total(total) / self.processes.total(count)
        if not math.isfinite(loss):
            raise ModelCheckError(
                "weights",
                f"the validation loss is {loss}: the weights hold no finite numbers;"
                " see which with 'aprhub validate', or train on from an earlier"
                " checkpoint",
            )
        return loss


def _count(batch: Batch) -> int:
    """Return how many places of a batch have a target."""
    return int((batch.targets != NO_LOSS).sum())
