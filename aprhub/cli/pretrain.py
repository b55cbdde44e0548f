"""`aprhub pretrain`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aprhub.cli.adapter_options import added
from aprhub.cli.options import shared
from aprhub.cli.source import source as source_options
from aprhub.cli.training import Session
from aprhub.cli.training_options import COURSE, PATH, POSITIVE, RUN, course_of

if TYPE_CHECKING:
    from aprhub.pretraining.options import PretrainOptions


F = TypeVar("F", bound=Callable[..., Any])

ELSEWHERE = {
    "--allow-shard-cycle": "--epochs N says how often the text may be seen",
    "--force-under-provisioned": "too little text for a model is a note, and no error",
    "--synthetic": "nothing is trained on text that is made up: --dataset has real one",
}
"""Options of `apr pretrain` that are no options here, and what to do instead."""


def _elsewhere(function: F) -> F:
    """Refuse what is known from elsewhere by saying what takes its place."""
    for word in ELSEWHERE:
        function = click.option(
            word, is_flag=True, hidden=True, expose_value=False, callback=_refuse
        )(function)
    return function


def _refuse(_context: click.Context, option: click.Parameter, given: bool) -> None:
    if given:
        word = option.opts[0]
        raise click.UsageError(f"leave {word} out: {ELSEWHERE[word]}")


@click.command()
@click.option(
    "--dataset",
    multiple=True,
    required=True,
    type=PATH,
    help="Text to train on: a file or folder of .txt, .md, .jsonl or .parquet; may be"
    " given several times.",
)
@click.option("--init", type=PATH, help="The model to start from, in any format.")
@click.option("--preset", metavar="NAME", help="Train this model from nothing.")
@click.option(
    "--config", type=PATH, help="Train the model of this TOML file from nothing."
)
@click.option(
    "--vocab-size",
    type=POSITIVE,
    help="Tokens of the baseline, which is trained without any of the above: 50257.",
)
@click.option(
    "--mode",
    type=click.Choice(["finetune", "from-scratch"]),
    help="Whose defaults --lr and --warmup-steps have: those of finetune with --init,"
    " else of from-scratch.",
)
@added(RUN)
@added(COURSE)
@_elsewhere
@source_options("--init")
@shared
def pretrain(**options: Any) -> None:
    """Train a model on text: from a checkpoint in any format, or from nothing.

    Without --init, --preset and --config, the baseline is trained: a Llama of 370
    million parameters. SIGTERM and SIGINT leave a checkpoint, from which --resume goes
    on. torchrun starts it in several processes. It needs torch.
    """
    from aprhub.runs import pretrain as run

    session = Session.of(options)
    session.train(run, _wanted(options))


def _wanted(options: dict[str, Any]) -> "PretrainOptions":
    from aprhub.pretraining.options import PretrainOptions

    course = course_of(options, _mode(options.pop("mode"), options["init"]))
    return PretrainOptions(**options, course=course)


def _mode(said: str | None, init: Path | None) -> str:
    from aprhub.pretraining.options import FINETUNE, FROM_SCRATCH

    if said == FINETUNE and init is None:
        raise click.UsageError("--mode finetune needs a model: name it with --init")
    return said or (FINETUNE if init else FROM_SCRATCH)
