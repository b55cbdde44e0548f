"""Course: how a model is trained, whatever model and text it is."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import asdict, frozen

from aprhub.errors import UsageError, near_miss

DEVICE: Final = re.compile(r"auto|cpu|cuda(:[0-9]|:1[0-5])?")
"""The words for a device; only `auto` leaves the choice to the machine."""

PRECISIONS: Final = ("f32", "bf16")

LOWEST: Final = 0.1
"""Where the learning rate of `cosine` ends, as a share of the highest."""

COOLING: Final = 0.2
"""The share of all steps in which that of `wsd` falls to zero."""

FSDP: Final = "fsdp"
PARALLEL: Final = ("ddp", FSDP)
"""How several processes share a model: each has all of it, or a part."""

UNTOLD: Final = (
    "device",
    "compiled",
    "accumulate",
    "activation_checkpointing",
    "parallel",
)
"""What changes the speed of a run, and its numbers by rounding at most."""


@frozen
class Course:
    """The steps of a training, and what is done in each.

    A step is `batch_size` sequences, in `accumulate` parts; the learning rate rises to
    `lr` in `warmup_steps` and falls as `schedule` says. Gradients are scaled down to
    the norm `clip`; matrices decay by `weight_decay` of themselves and of the learning
    rate. Every `steps_per_epoch` steps the model is measured and kept. It ends before
    `num_steps` when the measured loss reaches `target_val_loss`, or has not fallen
    `patience` times in a row. `precision` is that of the matrix products; the weights
    are f32. `parallel` is for several processes; without, it is the first of PARALLEL.
    """

    num_steps: int = 1000
    batch_size: int = 16
    accumulate: int = 1
    lr: float = 3e-4
    warmup_steps: int = 100
    schedule: str = "cosine"
    weight_decay: float = 0.1
    clip: float = 1.0
    steps_per_epoch: int = 100
    target_val_loss: float | None = None
    patience: int | None = None
    seed: int = 42
    precision: str = "f32"
    device: str = "auto"
    compiled: bool = False
    activation_checkpointing: bool = False
    parallel: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name in ("batch_size", "accumulate", "steps_per_epoch", "lr", "clip"):
            if not getattr(self, name) > 0:
                what = f"{name} is {getattr(self, name)}; give more than 0"
                raise UsageError(what)
        for name in ("num_steps", "warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}; give 0 or more")
        if self.batch_size % self.accumulate:
            raise UsageError(
                f"{self.batch_size} sequences are not {self.accumulate} equal parts;"
                " choose another batch_size or accumulate"
            )
        _require("schedule", self.schedule, tuple(SCHEDULES))
        _require("precision", self.precision, PRECISIONS)
        if self.parallel is not None:
            _require("parallel", self.parallel, PARALLEL)
        if not DEVICE.fullmatch(self.device):
            raise UsageError(
                f"no device is called {self.device!r}; choose auto, cpu, cuda, or"
                " cuda:0 to cuda:15"
            )

    @property
    def told(self) -> dict[str, Any]:
        """What decides the weights that come out, for lineage and for going on."""
        return asdict(self, filter=lambda field, _value: field.name not in UNTOLD)


def _require(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        listed = ", ".join(allowed) + near_miss(value, allowed)
        raise UsageError(f"no {name} is called {value!r}; choose one of {listed}")


def learning_rate(course: Course, step: int) -> float:
    """Return the learning rate of a step, counted from 0; a function of these alone."""
    if step < course.warmup_steps:
        return course.lr * (step + 1) / course.warmup_steps
    rest = max(course.num_steps - course.warmup_steps, 1)
    return course.lr * SCHEDULES[course.schedule]((step - course.warmup_steps) / rest)


def _cosine(done: float) -> float:
    """Return the factor of half a cosine, from 1 to LOWEST."""
    return LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * done)) / 2


def _wsd(done: float) -> float:
    """Return the factor of warm-up, stable, decay: 1, then straight to 0."""
    return min(1.0, (1 - done) / COOLING)


SCHEDULES: Final[Mapping[str, Callable[[float], float]]] = {
    "cosine": _cosine,
    "wsd": _wsd,
}
"""What the highest learning rate is multiplied with after the warm-up, by name."""
