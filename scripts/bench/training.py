"""Measures steps of a training against a plain loop of transformers and torch.

Both begin with the same weights and see the same batches, in f32 on the CPU, with AdamW
and clipped gradients. Their steps take turns in one process, so that what else the
machine does slows both; the processor's time, that of all threads, leaves it out.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from aprhub import Course, PretrainOptions, Registry, pretrain
from aprhub.corpus import Batch
from aprhub.pretraining.products import WholeModel
from aprhub.pretraining.setting import setting
from aprhub.pretraining.start import from_checkpoint
from aprhub.training.processes import Processes
from aprhub.training.trainer import Trainer
from tests.judges import hf
from tests.judges.assets import prose
from tests.judges.pico import pico

CONFIG = """\
family = "llama"
hidden_size = 256
num_layers = 6
num_heads = 8
num_kv_heads = 4
intermediate_size = 704
vocab_size = 2000
max_position_embeddings = 256
norm_eps = 1e-5
tie_embeddings = true
"""
COURSE = Course(num_steps=50, batch_size=8, lr=1e-3, warmup_steps=0, device="cpu")
LENGTH = 128
"""Tokens in a sequence."""

HEADER = [
    "a model of 5 million parameters",
    "tokens/s",
    "tokens/s of processor",
    "ratio",
    "ratio of processor",
]

WARM_UP = 3
"""Steps that are not counted."""

Step = Callable[[int], object]

Times = tuple[float, float]
"""Seconds of a step, by the clock and by the processor."""


def speeds(work: Path, runs: int) -> list[list[str]]:
    """Return who trains, tokens a second of the clock and of the processor, and ratios.

    A ratio is the median over pairs of steps of the plain loop's time ÷ that of `who`.
    """
    (work / "text.txt").write_text(prose()[:1_000_000], "utf-8")
    (work / "config.toml").write_text(CONFIG)
    trainer = _trainer(work)
    theirs = _plain(work / "run/checkpoints/step-000000", trainer)
    pairs = [(_timed(trainer.step, n), _timed(theirs, n)) for n in range(4 * runs)]
    return _rows(pairs[WARM_UP:])


def _trainer(work: Path) -> Trainer:
    """Return our trainer, and leave its first weights as a Hugging Face folder."""
    options = PretrainOptions(
        (work / "text.txt",),
        work / "run",
        Course(num_steps=0, device="cpu"),
        config=work / "config.toml",
        tokenizer=pico("llama-spm"),
        seq_len=LENGTH,
        cache=work / "cache",
        target_format="hf",
    )
    checkpoint = pretrain(options).checkpoint
    more = PretrainOptions(
        options.dataset,
        work / "more",
        COURSE,
        init=checkpoint,
        seq_len=LENGTH,
        cache=options.cache,
    )
    registry = Registry.load()
    start = from_checkpoint(checkpoint, more, registry)
    product = WholeModel.of(start, more, registry)
    return setting(start, more, product, Processes(torch.device("cpu"))).trainer


def _plain(folder: Path, trainer: Trainer) -> Step:
    """Return a step as one writes it in an afternoon."""
    load = hf.transformers().AutoModelForCausalLM.from_pretrained
    model: Any = load(folder, dtype="float32", attn_implementation="sdpa").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=COURSE.lr, betas=(0.9, 0.95))

    def step(number: int) -> None:
        batch: Batch = trainer.batches.batch(number)
        ids = torch.from_numpy(batch.inputs)
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), COURSE.clip)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _timed(step: Step, number: int) -> Times:
    clock, processor = time.perf_counter(), time.process_time()
    step(number)
    return time.perf_counter() - clock, time.process_time() - processor


def _rows(pairs: list[tuple[Times, Times]]) -> list[list[str]]:
    tokens = COURSE.batch_size * LENGTH
    found = []
    for who, name in enumerate(("aprhub pretrain", "transformers and torch")):
        medians = [statistics.median(p[who][kind] for p in pairs) for kind in (0, 1)]
        ratios = [
            statistics.median(p[1][kind] / p[who][kind] for p in pairs)
            for kind in (0, 1)
        ]
        cells = [f"{tokens / seconds:.0f}" for seconds in medians]
        found.append([name, *cells, *(f"{ratio:.2f}" for ratio in ratios)])
    return found
