"""`aprhub finetune`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.adapter_options import added
from aprhub.cli.options import refuse_given, shared
from aprhub.cli.source import source as source_options
from aprhub.cli.training import Session
from aprhub.cli.training_options import COURSE, PATH, POSITIVE, RUN, course_of

if TYPE_CHECKING:
    from aprhub.finetuning.options import FinetuneOptions
    from aprhub.low_rank import LowRankOptions

METHODS = ("full", "lora", "qlora")

ADAPTER = (
    click.option(
        "--rank",
        type=POSITIVE,
        default=16,
        show_default=True,
        help="Rank of the pairs that an adapter is made of.",
    ),
    click.option(
        "--alpha",
        type=float,
        default=32.0,
        show_default=True,
        help="How strongly a pair counts: this much, over its rank.",
    ),
    click.option(
        "--rslora",
        "rank_stabilised",
        is_flag=True,
        help="Over the root of its rank instead.",
    ),
    click.option(
        "--target-modules",
        "targets",
        metavar="ROLES",
        help="Weights that get pairs, such as attn.q,attn.v; else all of the layers.",
    ),
    click.option(
        "--quantize-nf4", is_flag=True, help="Keep those in four bits, as qlora does."
    ),
    click.option(
        "--layout",
        metavar="LAYOUT",
        default="peft",
        show_default=True,
        help="Layout of the adapters that are kept, such as entrenar.",
    ),
)
"""What says how an adapter is trained; nothing without one."""


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
    "--method",
    type=click.Choice(METHODS),
    default="full",
    show_default=True,
    help="Train all weights; an adapter; or one for weights in four bits (NF4).",
)
@added(ADAPTER)
@click.option(
    "--merge", is_flag=True, help="Write BASE with the best adapter merged into it."
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    help="Where the best model or adapter goes at the end, in the form that the"
    " extension says.",
)
@added(RUN)
@added(COURSE)
@source_options("BASE")
@shared
def finetune(base: Path, **options: Any) -> None:
    """Train BASE, a model in any format, further: all of it, or an adapter for it.

    Conversations are rendered with the model's own chat template, and only answers are
    learnt. SIGTERM and SIGINT leave a checkpoint, from which --resume goes on. torchrun
    starts it in several processes. It needs torch.

    'aprhub finetune BASE --merge --adapter ADAPTER -o OUTPUT' trains nothing: it is
    'aprhub adapter merge' under the name that it has in apr.
    """
    from aprhub.runs import finetune as run

    session = Session.of(options)
    session.train(run, _wanted(base, options))


def _wanted(base: Path, options: dict[str, Any]) -> "FinetuneOptions":
    from aprhub.finetuning.options import FinetuneOptions
    from aprhub.pretraining.options import FINETUNE, LOW_RANK

    if options["task"] == "instruct":
        refuse_given(("text_key", "separator"), "--task text")
    else:
        refuse_given(("too_long", "packed"), "--task instruct")
    low_rank = _low_rank(options)
    course = course_of(options, LOW_RANK if low_rank else FINETUNE)
    return FinetuneOptions(**options, init=base, course=course, low_rank=low_rank)


def _low_rank(options: dict[str, Any]) -> "LowRankOptions | None":
    """Take what says how an adapter is trained out of the options."""
    from aprhub.low_rank import LowRankOptions

    method, targets = options.pop("method"), options.pop("targets")
    quantized = options.pop("quantize_nf4") or method == "qlora"
    chosen = {n: options.pop(n) for n in ("rank", "alpha", "rank_stabilised")}
    if method == "full":
        besides = ("targets", "quantize_nf4", "layout", "merge")
        refuse_given((*chosen, *besides), "--method lora or qlora")
        return None
    refuse_given(
        ("target_format", "license", "data_license"),
        "--method full: adapters have a --layout, and no room for licences",
    )
    if targets is not None:
        chosen["targets"] = tuple(targets.split(","))
    return LowRankOptions(**chosen, quantized=quantized)
