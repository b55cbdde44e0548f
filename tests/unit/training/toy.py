"""A model small enough to train in a test, and text for it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from aprhub import ModelIR, Registry
from aprhub.corpus import Sequences
from aprhub.course import FSDP, Course
from aprhub.decoder.weights import loaded
from aprhub.low_rank import LowRankOptions
from aprhub.testing.models import PICOS, pico_config
from aprhub.training.fresh import fresh_weights
from aprhub.training.low_rank import adapt
from aprhub.training.optimizer import optimizer_of
from aprhub.training.processes import Processes
from aprhub.training.sharding import replicas_of, shard
from aprhub.training.trainer import Trainer
from aprhub.training.work import work_per_token

ROWS = 288
LENGTH = 16
ALONE = Processes(torch.device("cpu"))


def sequences(count: int, seed: int) -> Sequences:
    """Return text in which the next token follows from the last."""
    tokens = np.arange(count * LENGTH + 1) * 7 + seed
    return Sequences((tokens % ROWS).astype(np.uint16), LENGTH)


def course(**changed: Any) -> Course:
    chosen: Mapping[str, Any] = {
        "num_steps": 8,
        "batch_size": 4,
        "warmup_steps": 2,
        "steps_per_epoch": 4,
        "lr": 1e-2,
        "device": "cpu",
        **changed,
    }
    return Course(**chosen)


def model(family: str = "llama", seed: int = 1, **chosen: Any) -> ModelIR:
    found = Registry.load().family(family)
    config = pico_config(found, {**PICOS[family].config, **chosen})
    return ModelIR(config, fresh_weights(config, found, seed))


def trainer(
    chosen: Course | None = None,
    given: ModelIR | None = None,
    processes: Processes = ALONE,
    pairs: LowRankOptions | None = None,
) -> Trainer:
    wanted, start = chosen or course(), given or model()
    family = Registry.load().family(str(start.config.family))
    is_sharded = wanted.parallel == FSDP
    prepare = partial(shard, processes=processes) if is_sharded else None
    decoder = loaded(start, family, prepare=prepare).decoder.requires_grad_(True)
    decoder.recomputes = wanted.activation_checkpointing
    if pairs is not None:
        adapt(decoder, pairs, seed=1)
    shapes = {name: tuple(each.shape) for name, each in decoder.named_parameters()}
    return Trainer(
        decoder,
        optimizer_of(decoder, wanted),
        sequences(40, 0).batches(wanted.batch_size, wanted.seed),
        sequences(5, 3),
        wanted,
        processes,
        work_per_token(shapes, start.config, LENGTH),
        replicas_of(decoder, processes)
        if processes.world > 1 and not is_sharded
        else None,
    )


def losses(found: Trainer, steps: int) -> list[float]:
    return [found.step(number).loss for number in range(steps)]
