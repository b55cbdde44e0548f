"""The front door of the library to what runs models: functions that take paths.

Each needs torch when it is called, and raises EnvironmentFailureError without it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aprhub.front import PathLike
from aprhub.options import RunOptions
from aprhub.registry import Registry
from aprhub.sampling import Sampling

if TYPE_CHECKING:
    from aprhub.decoder.divergence import Divergence
    from aprhub.decoder.scoring import Score
    from aprhub.finetuning.options import FinetuneOptions
    from aprhub.generating import Generation
    from aprhub.ir.importance import Importance
    from aprhub.pretraining.options import PretrainOptions
    from aprhub.pretraining.outcome import Outcome

Watch = Callable[[Mapping[str, Any]], None]
Interrupted = Callable[[], str | None]


def _unwatched(_event: Mapping[str, Any]) -> None:
    """Take no note of an event."""


def _undisturbed() -> None:
    """Give no reason to end."""


def imatrix(
    model: PathLike,
    text: PathLike,
    target: PathLike,
    options: RunOptions | None = None,
    *,
    registry: Registry | None = None,
) -> "Importance":
    """Run a model on a text and write the importance matrix that llama.cpp would.

    Returns what was written. Needs torch: an EnvironmentFailureError without it.
    """
    from aprhub.running import make_importance

    return make_importance(
        Path(model),
        Path(text),
        Path(target),
        options or RunOptions(),
        registry or Registry.load(),
    )


def divergence(
    one: PathLike,
    other: PathLike,
    text: PathLike,
    options: RunOptions | None = None,
    *,
    registry: Registry | None = None,
) -> "Divergence":
    """Measure on a text how far what `other` predicts is from what `one` predicts.

    Both need the same tokenizer. Needs torch: an EnvironmentFailureError without it.
    """
    from aprhub.running import find_divergence

    return find_divergence(
        Path(one),
        Path(other),
        Path(text),
        options or RunOptions(),
        registry or Registry.load(),
    )


def evaluate(
    model: PathLike,
    text: PathLike,
    options: RunOptions | None = None,
    *,
    registry: Registry | None = None,
) -> "Score":
    """Score a text by how well a model foretells each token from those before.

    Needs torch: an EnvironmentFailureError without it.
    """
    from aprhub.running import find_score

    chosen, plugins = options or RunOptions(), registry or Registry.load()
    return find_score(Path(model), Path(text), chosen, plugins)


def generate(
    model: PathLike,
    prompt: str,
    sampling: Sampling | None = None,
    options: RunOptions | None = None,
    *,
    registry: Registry | None = None,
) -> "Generation":
    """Return what a model goes on with after a prompt: pieces of text, when iterated.

    Needs torch: an EnvironmentFailureError without it.
    """
    from aprhub.generating import Generation, Writer

    chosen, plugins = options or RunOptions(), registry or Registry.load()
    writer = Writer.of(Path(model), chosen, plugins)
    return Generation(writer, prompt, sampling or Sampling())


def pretrain(
    options: "PretrainOptions",
    *,
    registry: Registry | None = None,
    watch: Watch = _unwatched,
    interrupted: Interrupted = _undisturbed,
    begins: Watch = _unwatched,
) -> "Outcome":
    """Train a model on text, from a checkpoint in any format or from nothing.

    `begins` is told the sizes of the model, when no gate is left that needs no step,
    and `watch` what every step and measurement came to, as a line of the run's
    `metrics.jsonl` has it; `interrupted` is asked after every step whether it is to be
    the last, and returns why. Needs torch: an EnvironmentFailureError without it.
    """
    from aprhub.pretraining.operation import Audience
    from aprhub.pretraining.operation import pretrain as run

    audience = Audience(watch, interrupted, begins)
    return run(options, registry or Registry.load(), audience)


def finetune(
    options: "FinetuneOptions",
    *,
    registry: Registry | None = None,
    watch: Watch = _unwatched,
    interrupted: Interrupted = _undisturbed,
    begins: Watch = _unwatched,
) -> "Outcome":
    """Train a model in any format further: on the answers of conversations, or on text.

    What is told, asked and needed is as in `pretrain`.
    """
    from aprhub.finetuning.operation import finetune as run
    from aprhub.pretraining.operation import Audience

    audience = Audience(watch, interrupted, begins)
    return run(options, registry or Registry.load(), audience)
