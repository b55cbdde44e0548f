"""`aprhub finetune`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.adapter_options import added
from aprhub.cli.options import shared
from aprhub.cli.source import source as source_options
from aprhub.cli.training import Session
from aprhub.cli.training_options import COURSE, PATH, RUN, course_of

if TYPE_CHECKING:
    from aprhub.finetuning.options import FinetuneOptions


class _Command(click.Command):
    """A command that is another one when it is given an adapter."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Hand the words to the merge of adapters where they name one."""
        if _names_adapter(args):
            from aprhub.cli.adapter_merge import finetune as merge

            return merge.make_context(info_name, args, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


def _names_adapter(words: Sequence[str]) -> bool:
    return any(word.split("=")[0] == "--adapter" for word in words)


@click.command(cls=_Command)
@click.argument("base", type=PATH)
@click.option(
    "--task",
    type=click.Choice(["instruct", "text"]),
    default="instruct",
    show_default=True,
    help="Learn the answers of conversations, or all of a text.",
)
@click.option(
    "--data",
    "dataset",
    multiple=True,
    required=True,
    type=PATH,
    help="What to train on: a file or folder of .jsonl with conversations; of .txt,"
    " .md, .jsonl or .parquet with text. May be given several times.",
)
@click.option(
    "--too-long",
    type=click.Choice(["drop", "cut"]),
    default="drop",
    show_default=True,
    help="What to do with a conversation that fills more than a sequence.",
)
@click.option(
    "--packed", is_flag=True, help="As many conversations in a sequence as fit."
)
@click.option(
    "--model-size",
    metavar="SIZE",
    help="Stop unless BASE has this size: a preset, or its end, such as 0.5b.",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    help="Write the best model there at the end, in the format of its extension.",
)
@added(RUN)
@added(COURSE)
@source_options("BASE")
@shared
def finetune(base: Path, **options: Any) -> None:
    """Train BASE, a model in any format, further.

    Conversations are rendered with the model's own chat template, and only answers are
    learnt. SIGTERM and SIGINT leave a checkpoint, from which --resume goes on. It needs
    torch.

    'aprhub finetune BASE --merge --adapter ADAPTER -o OUTPUT' trains nothing: it is
    'aprhub adapter merge' under the name that it has in apr.
    """
    from aprhub.runs import finetune as run

    session = Session.of(options)
    session.train(run, _wanted(base, options))


def _wanted(base: Path, options: dict[str, Any]) -> "FinetuneOptions":
    from aprhub.finetuning.options import FinetuneOptions
    from aprhub.pretraining.options import FINETUNE

    course = course_of(options, FINETUNE)
    return FinetuneOptions(**options, init=base, course=course)
