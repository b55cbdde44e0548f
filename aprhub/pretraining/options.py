"""What a user may ask of a training: of every one, and of a pretraining."""

from pathlib import Path
from typing import Any, ClassVar, Final

from attrs import field, frozen

from aprhub.corpus.options import ChatOptions, CorpusOptions
from aprhub.course import Course
from aprhub.errors import UsageError
from aprhub.lift import LiftOptions

FINETUNE: Final = "finetune"
FROM_SCRATCH: Final = "from-scratch"
LOW_RANK: Final = "low-rank"

RATES: Final = {FINETUNE: 5e-5, FROM_SCRATCH: 3e-4, LOW_RANK: 2e-4}
WARMUPS: Final = {FINETUNE: 100, FROM_SCRATCH: 1000, LOW_RANK: 100}
"""The learning rate, and the most steps of warm-up, of each mode; that of adapters is
the one of QLoRA (arXiv 2305.14314, appendix B)."""


def defaults_of(mode: str, num_steps: int) -> dict[str, Any]:
    """Return what a mode and the length of a run say of a course."""
    warmup = min(WARMUPS[mode], num_steps // 10)
    return {"lr": RATES[mode], "warmup_steps": warmup}


TEXT: Final = "text"
INSTRUCT: Final = "instruct"
TASKS: Final = (INSTRUCT, TEXT)
"""What can be learnt: the answers of conversations, or every token of texts."""


@frozen
class TrainingOptions:
    """What is trained on what, and where the results go.

    `init` is the checkpoint to start from, read as `source_format`, `naming` and
    `family` say. `tokenizer` is a model or a folder with a `tokenizer.json`, instead of
    that of `init`. Sequences have `seq_len` tokens; the data may be seen `epochs`
    times. The loss is measured on the data `validation`, or else on
    `validation_fraction` of the documents, which are kept apart; `text_key`,
    `separator` and `cache` are as in `CorpusOptions`. Of the checkpoints in
    `run_dir`, in `target_format`, the last `keep` stay, and the best. `license` and
    `data_license` go into their provenance. With `accept_init_loss`, a loss much above
    the one that `init` records does not end the run. With `resume`, the run in
    `run_dir` goes on.
    """

    operation: ClassVar[str]
    """What the lineage of a checkpoint calls such a training."""

    command: ClassVar[str]
    """The words before the checkpoint in a command that starts from it."""

    dataset: tuple[Path, ...]
    run_dir: Path
    course: Course = field(factory=Course)
    init: Path | None = None
    tokenizer: Path | None = None
    source_format: str | None = None
    naming: str | None = None
    family: str | None = None
    seq_len: int = 1024
    epochs: int = 1
    validation: tuple[Path, ...] = ()
    validation_fraction: float = 0.05
    text_key: str = "text"
    separator: str | None = None
    cache: Path | None = None
    target_format: str = "apr"
    keep: int = 3
    license: str | None = None
    data_license: str | None = None
    accept_init_loss: bool = False
    resume: bool = False
    tensorboard: bool = False
    plot: Path | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not self.dataset:
            raise UsageError("there is nothing to train on: name files with data")
        if not 0 < self.validation_fraction < 1:
            raise UsageError(
                f"validation_fraction is {self.validation_fraction}; give a number"
                " above 0 and below 1"
            )
        for name in ("seq_len", "epochs", "keep"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give 1 or more")

    @property
    def lift(self) -> LiftOptions:
        """How the checkpoint is read: tensors that no part of it needs are left."""
        return LiftOptions(self.naming, self.family, lossy=True)

    @property
    def learns(self) -> str:
        """Which of TASKS this is; losses of one say nothing of another's."""
        return TEXT

    @property
    def told(self) -> dict[str, Any]:
        """What decides the weights that come out, beside the files."""
        return {
            **self.course.told,
            "seq_len": self.seq_len,
            "validation_fraction": self.validation_fraction,
        }

    def sequences(self, vocab_size: int | None) -> CorpusOptions | ChatOptions:
        """Return how the data become sequences, for a model with so many tokens."""
        return CorpusOptions(
            seq_len=self.seq_len,
            validation_fraction=self.validation_fraction,
            text_key=self.text_key,
            separator=self.separator,
            cache=self.cache,
            vocab_size=vocab_size,
        )


@frozen
class PretrainOptions(TrainingOptions):
    """What is trained on which text, and where the results go.

    Without `init`, `preset` or `config` says what is trained from random weights, or
    else it is the baseline with `vocab_size` tokens.
    """

    operation = "pretrain"
    command = "aprhub pretrain --init"

    preset: str | None = None
    config: Path | None = None
    vocab_size: int | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what makes no sense."""
        super().__attrs_post_init__()
        starts = [self.init, self.preset, self.config]
        if sum(each is not None for each in starts) > 1:
            raise UsageError(
                "--init, --preset and --config exclude each other; keep one"
            )
        if self.vocab_size is not None and any(each is not None for each in starts):
            raise UsageError(
                "--vocab-size is that of the baseline; leave it out with --init,"
                " --preset and --config"
            )
        if self.init is None and self.tokenizer is None:
            raise UsageError("without --init, say whose tokens: --tokenizer PATH")

    @property
    def told(self) -> dict[str, Any]:
        """What decides the weights that come out, beside the files."""
        return {**super().told, "preset": self.preset}

    @property
    def is_baseline(self) -> bool:
        """Whether it is the baseline that is trained, and nothing of it changed."""
        chosen = (self.init, self.preset, self.config, self.vocab_size)
        return all(each is None for each in chosen)
