"""Options of commands that train, and the values that they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from aprhub.course import Course

PATH = click.Path(path_type=Path)
POSITIVE = click.IntRange(min=1)

_COUNT = click.IntRange(min=0)
_RATE = click.FloatRange(0, min_open=True)

COURSE = (
    click.option(
        "--lr",
        type=_RATE,
        help="Highest learning rate: 5e-5; from nothing 3e-4, of an adapter 2e-4.",
    ),
    click.option(
        "--num-steps", type=_COUNT, default=1000, show_default=True, help="Steps."
    ),
    click.option(
        "--warmup-steps",
        type=_COUNT,
        help="Steps in which the rate rises: a tenth, at most 100; from nothing, 1000.",
    ),
    click.option(
        "--schedule",
        type=click.Choice(["cosine", "wsd"]),
        default="cosine",
        show_default=True,
        help="How the rate falls: to a tenth, or stable and to 0 in the last fifth.",
    ),
    click.option(
        "--batch-size",
        type=POSITIVE,
        default=16,
        show_default=True,
        help="Sequences in a step.",
    ),
    click.option(
        "--accumulate",
        type=POSITIVE,
        default=1,
        show_default=True,
        metavar="N",
        help="Compute a step in N parts, which takes less memory.",
    ),
    click.option(
        "--weight-decay",
        type=click.FloatRange(0),
        default=0.1,
        show_default=True,
        help="Decay of matrices.",
    ),
    click.option(
        "--clip",
        type=_RATE,
        default=1.0,
        show_default=True,
        help="Largest norm of a gradient.",
    ),
    click.option(
        "--steps-per-epoch",
        type=POSITIVE,
        default=100,
        show_default=True,
        help="Steps between measurements, each of which leaves a checkpoint.",
    ),
    click.option(
        "--target-val-loss",
        type=_RATE,
        help="End when the validation loss is as low as this.",
    ),
    click.option(
        "--patience",
        type=POSITIVE,
        metavar="N",
        help="End when N measurements in a row were not better than the best.",
    ),
    click.option(
        "--seed",
        type=int,
        default=42,
        show_default=True,
        help="Decides the order of the text, and new weights.",
    ),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="cpu, cuda, cuda:N, or auto: a GPU if there is one.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["f32", "bf16"]),
        default="f32",
        show_default=True,
        help="That of matrix products; weights are f32.",
    ),
    click.option(
        "--parallel",
        type=click.Choice(["ddp", "fsdp"]),
        help="How the processes of torchrun share a model: each has all of it (ddp, the"
        " default), or a part (fsdp).",
    ),
    click.option("--compile", "compiled", is_flag=True, help="Use torch.compile."),
    click.option(
        "--activation-checkpointing",
        is_flag=True,
        help="Compute layers twice, which takes less memory.",
    ),
)
"""What says how a model is trained."""

RUN = (
    click.option(
        "--run-dir", required=True, type=PATH, help="Where checkpoints and metrics go."
    ),
    click.option(
        "--tokenizer",
        type=PATH,
        help="A model, or a folder with a tokenizer.json, instead of the model's own.",
    ),
    click.option(
        "--seq-len",
        "--seq-length",
        type=POSITIVE,
        default=1024,
        show_default=True,
        help="Tokens in a sequence.",
    ),
    click.option(
        "--epochs",
        type=POSITIVE,
        default=1,
        show_default=True,
        help="How often the text may be seen.",
    ),
    click.option(
        "--validation-fraction",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.05,
        show_default=True,
        help="Share of the documents that is kept apart, to measure with.",
    ),
    click.option(
        "--validation",
        "--val-shard",
        multiple=True,
        type=PATH,
        help="Data to measure with, instead of a share of the others; may be given"
        " several times.",
    ),
    click.option(
        "--text-key",
        default="text",
        show_default=True,
        help="Where records and tables have the text.",
    ),
    click.option(
        "--separator",
        metavar="TOKEN",
        help="Token that ends a document, instead of the model's end of text.",
    ),
    click.option("--cache", type=PATH, help="Where token ids are kept."),
    click.option(
        "--format",
        "target_format",
        metavar="FORMAT",
        default="apr",
        show_default=True,
        help="Format of the checkpoints.",
    ),
    click.option(
        "--keep",
        type=POSITIVE,
        default=3,
        show_default=True,
        help="Checkpoints that stay, besides the best.",
    ),
    click.option("--license", metavar="SPDX", help="Licence of the checkpoints."),
    click.option("--data-license", metavar="SPDX", help="Licence of the text."),
    click.option(
        "--accept-init-loss",
        is_flag=True,
        help="Start from a model even if it is much worse than it says of itself.",
    ),
    click.option("--resume", is_flag=True, help="Go on with the run in --run-dir."),
    click.option(
        "--tensorboard", is_flag=True, help="Write logs for TensorBoard, in --run-dir."
    ),
    click.option("--plot", type=PATH, help="Draw the losses: a .png or .html file."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
    click.option("-v", "--verbose", is_flag=True, help="Print a line for each step."),
)
"""What says of which data, and where the results go."""


def course_of(options: dict[str, Any], mode: str) -> "Course":
    """Take the course out of the options; what was not given depends on the mode."""
    from attrs import fields

    from aprhub.course import Course
    from aprhub.pretraining.options import defaults_of

    for name, value in defaults_of(mode, options["num_steps"]).items():
        if options[name] is None:
            options[name] = value
    return Course(**{each.name: options.pop(each.name) for each in fields(Course)})
