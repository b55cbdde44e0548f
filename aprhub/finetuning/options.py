"""What a user may ask of a fine-tuning."""

from pathlib import Path
from typing import Any

from attrs import field, frozen

from aprhub.corpus.options import ChatOptions, CorpusOptions
from aprhub.course import FSDP
from aprhub.errors import UsageError, near_miss
from aprhub.low_rank import LowRankOptions
from aprhub.pretraining.options import INSTRUCT, TASKS, TrainingOptions


@frozen
class FinetuneOptions(TrainingOptions):
    """Which model goes on to learn what, and where the results go.

    `task` is one of TASKS. Conversations that are longer than a sequence are dropped
    or cut, as `too_long` says; with `packed`, a sequence has as many as fit. Where
    `init` has not the size that `model_size` names, nothing is trained. With
    `low_rank`, what is trained is an adapter, kept in `layout`. At the end, the best
    model or adapter is written to `output`; with `merge`, the best adapter merged into
    `init`.
    """

    operation = "finetune"
    command = "aprhub finetune"

    init: Path = field(kw_only=True)
    task: str = field(default=INSTRUCT, kw_only=True)
    too_long: str = field(default="drop", kw_only=True)
    packed: bool = field(default=False, kw_only=True)
    model_size: str | None = field(default=None, kw_only=True)
    low_rank: LowRankOptions | None = field(default=None, kw_only=True)
    layout: str = field(default="peft", kw_only=True)
    merge: bool = field(default=False, kw_only=True)
    output: Path | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse what makes no sense."""
        super().__attrs_post_init__()
        if self.task not in TASKS:
            listed = ", ".join(TASKS) + near_miss(self.task, TASKS)
            raise UsageError(f"no task is called {self.task!r}; choose one of {listed}")
        if self.merge and (self.low_rank is None or self.output is None):
            raise UsageError(
                "merging needs an adapter to train, and an output to write; give"
                " --method lora and --output"
            )
        if self.low_rank is not None and self.course.parallel == FSDP:
            raise UsageError(
                "--parallel fsdp is for all weights, and an adapter fits everywhere;"
                " choose ddp"
            )

    @property
    def learns(self) -> str:
        """Which of TASKS this is; losses of one say nothing of another's."""
        return self.task

    @property
    def told(self) -> dict[str, Any]:
        """What decides the weights that come out, beside the files."""
        return {**super().told, "task": self.task}

    def sequences(self, vocab_size: int | None) -> CorpusOptions | ChatOptions:
        """Return how the data become sequences, for a model with so many tokens."""
        if self.task != INSTRUCT:
            return super().sequences(vocab_size)
        return ChatOptions(
            seq_len=self.seq_len,
            validation_fraction=self.validation_fraction,
            cache=self.cache,
            vocab_size=vocab_size,
            too_long=self.too_long,
            packed=self.packed,
        )
