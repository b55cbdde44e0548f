"""`aprhub pretrain`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aprhub.cli.options import echo_json, registry, shared
from aprhub.cli.source import source as source_options
from aprhub.cli.training import course_options, interruption, shown

if TYPE_CHECKING:
    from aprhub.pretraining.options import PretrainOptions
    from aprhub.pretraining.outcome import Outcome

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
POSITIVE = click.IntRange(min=1)

ELSEWHERE = {
    "--allow-shard-cycle": "say how often the text may be seen: --epochs N",
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
        raise click.UsageError(f"{word}: {ELSEWHERE[word]}")


@click.command()
@click.option(
    "--dataset",
    multiple=True,
    required=True,
    type=PATH,
    help="Text to train on: a file or folder of .txt, .md, .jsonl or .parquet; may be"
    " given several times.",
)
@click.option(
    "--run-dir", required=True, type=PATH, help="Where checkpoints and metrics go."
)
@click.option("--init", type=PATH, help="The model to start from, in any format.")
@click.option("--preset", metavar="NAME", help="Train this model from nothing.")
@click.option(
    "--config", type=PATH, help="Train the model of this TOML file from nothing."
)
@click.option(
    "--tokenizer",
    type=PATH,
    help="A model, or a folder with a tokenizer.json, instead of that of --init.",
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
@course_options
@click.option(
    "--seq-len",
    "--seq-length",
    type=POSITIVE,
    default=1024,
    show_default=True,
    help="Tokens in a sequence.",
)
@click.option(
    "--epochs",
    type=POSITIVE,
    default=1,
    show_default=True,
    help="How often the text may be seen.",
)
@click.option(
    "--validation-fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Share of the documents that is kept apart, to measure with.",
)
@click.option(
    "--validation",
    "--val-shard",
    multiple=True,
    type=PATH,
    help="Text to measure with, instead of a share of --dataset; may be given several"
    " times.",
)
@click.option(
    "--text-key",
    default="text",
    show_default=True,
    help="Where records and tables have the text.",
)
@click.option(
    "--separator",
    metavar="TOKEN",
    help="Token that ends a document, instead of the model's end of text.",
)
@click.option("--cache", type=PATH, help="Where token ids are kept.")
@click.option(
    "--format",
    "target_format",
    metavar="FORMAT",
    default="apr",
    show_default=True,
    help="Format of the checkpoints.",
)
@click.option(
    "--keep",
    type=POSITIVE,
    default=3,
    show_default=True,
    help="Checkpoints that stay, besides the best.",
)
@click.option("--license", metavar="SPDX", help="Licence of the checkpoints.")
@click.option("--data-license", metavar="SPDX", help="Licence of the text.")
@click.option(
    "--accept-init-loss",
    is_flag=True,
    help="Start from a model even if it is much worse than it says of itself.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --run-dir.")
@click.option(
    "--tensorboard", is_flag=True, help="Write logs for TensorBoard, in --run-dir."
)
@click.option("--plot", type=PATH, help="Draw the losses: a .png or .html file.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@_elsewhere
@source_options("--init")
@shared
def pretrain(**options: Any) -> None:
    """Train a model on text: from a checkpoint in any format, or from nothing.

    Without --init, --preset and --config, the baseline is trained: a Llama of 370
    million parameters. SIGTERM and SIGINT leave a checkpoint, from which --resume goes
    on. It needs torch.
    """
    from aprhub.runs import pretrain as run

    quiet, as_json = options.pop("quiet"), options.pop("as_json")
    options.pop("debug")
    plugins = registry(strict=options.pop("strict_plugins"))
    wanted = _wanted(options)
    silent = quiet or as_json
    with interruption() as caught, shown(wanted.course, silent=silent) as watch:
        found = run(wanted, registry=plugins, watch=watch, interrupted=caught.reason)
    if as_json:
        echo_json(found.as_json())
    elif not quiet:
        _echo(found)
    if caught.number is not None:
        raise SystemExit(128 + caught.number)


def _wanted(options: dict[str, Any]) -> "PretrainOptions":
    """Return the options as values; those that were not given depend on the mode."""
    from attrs import fields

    from aprhub.course import Course
    from aprhub.pretraining.options import PretrainOptions, defaults_of

    mode = _mode(options.pop("mode"), options["init"])
    for name, value in defaults_of(mode, options["num_steps"]).items():
        if options[name] is None:
            options[name] = value
    of_course = {each.name for each in fields(Course)}
    course = {name: options.pop(name) for name in of_course}
    return PretrainOptions(**options, course=Course(**course))


def _mode(said: str | None, init: Path | None) -> str:
    from aprhub.pretraining.options import FINETUNE, FROM_SCRATCH

    if said == FINETUNE and init is None:
        raise click.UsageError("--mode finetune needs a model: name it with --init")
    return said or (FINETUNE if init else FROM_SCRATCH)


def _echo(found: "Outcome") -> None:
    """Print what a run came to."""
    for note in found.notes:
        click.echo(f"note: {note}")
    loss = "not measured" if found.val_loss is None else f"{found.val_loss:.4f}"
    click.echo(
        f"{found.reason}: {found.step} steps, {found.tokens} tokens,"
        f" {found.parameters} parameters, validation loss {loss}"
    )
    click.echo(f"checkpoint: {found.checkpoint}")
    if found.best not in (None, found.checkpoint):
        click.echo(f"best: {found.best}")
