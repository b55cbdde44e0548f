"""Trainer: a decoder, an optimiser and text, and what one step is."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch
from attrs import frozen
from torch.nn import functional

from aprhub.corpus import Batch, Batches, Sequences
from aprhub.corpus.sequences import NO_LOSS
from aprhub.course import Course, learning_rate
from aprhub.decoder.model import Decoder
from aprhub.errors import ModelCheckError
from aprhub.training.devices import peak_of
from aprhub.training.optimizer import trained


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

    `work` is how many operations the model needs for a token.
    """

    decoder: Decoder
    optimizer: torch.optim.AdamW
    batches: Batches
    validation: Sequences
    course: Course
    device: torch.device
    work: float

    def step(self, number: int) -> Stepped:
        """Do the step of a number, counted from 0.

        Raises ModelCheckError for a loss or a gradient that is no finite number; then
        the weights are those before the step.
        """
        start = time.perf_counter()
        rate = learning_rate(self.course, number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.batches.batch(number)
        loss = self._gradients(batch)
        parameters = trained(self.decoder).values()
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.course.clip).item()
        self._refuse_no_number(number, loss, norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        speed = batch.inputs.size / (time.perf_counter() - start)
        return Stepped(loss, norm, rate, speed, self._utilisation(speed))

    def _gradients(self, batch: Batch) -> float:
        """Leave the gradients of a batch in the parameters; return its loss."""
        count = int((batch.targets != NO_LOSS).sum())
        total = 0.0
        for inputs, targets in self._parts(batch):
            loss = self._summed_loss(inputs, targets) / count
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
            total += loss.item()
        return total

    def _parts(self, batch: Batch) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rows = len(batch.inputs) // self.course.accumulate
        for start in range(0, len(batch.inputs), rows):
            part = slice(start, start + rows)
            inputs, targets = batch.inputs[part], batch.targets[part]
            yield torch.from_numpy(inputs), torch.from_numpy(targets)

    def _summed_loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the sum of the losses at all places that have a target, f32."""
        with self._precision():
            logits = self.decoder(inputs.to(self.device))
        wanted = targets.to(self.device).flatten()
        return functional.cross_entropy(
            logits.flatten(0, 1).float(),
            wanted,
            ignore_index=NO_LOSS,
            reduction="sum",
        )

    def _precision(self) -> AbstractContextManager[None]:
        wants = self.course.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=wants)

    def _refuse_no_number(self, number: int, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        what = f"the loss is {loss} and the norm of the gradient {norm}"
        raise ModelCheckError(
            f"step {number}",
            f"{what}; the weights are not changed by it. Go on from the last"
            " checkpoint with a lower --lr, or look at the text of this step",
        )

    def _utilisation(self, speed: float) -> float | None:
        peak = peak_of(self.device)
        return None if peak is None else speed * self.work / peak

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Return the mean loss over all sequences kept apart, in nats per token.

        Raises ModelCheckError where it is no finite number.
        """
        total, count = 0.0, 0
        rows = self.course.batch_size // self.course.accumulate
        for batch in self.validation.sweep(rows):
            inputs, targets = map(torch.from_numpy, (batch.inputs, batch.targets))
            total += self._summed_loss(inputs, targets).item()
            count += int((batch.targets != NO_LOSS).sum())
        loss = total / count
        if not math.isfinite(loss):
            what = f"the validation loss is {loss}: the weights hold no finite numbers"
            raise ModelCheckError("weights", what)
        return loss
