"""`aprhub merge`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aprhub.cli.options import shared
from aprhub.cli.source import source as source_options
from aprhub.cli.writing import echo_report, output, perform

if TYPE_CHECKING:
    from aprhub.merging.recipe import Recipe

RECIPES = (".yaml", ".yml")


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="TARGET: the file or folder to write.",
)
@click.option("--method", metavar="METHOD", help="How; see 'aprhub methods'.")
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="The model that the others are compared with.",
)
@click.option("--t", metavar="T", help="The way from the base to the model, 0 to 1.")
@click.option("--weights", metavar="W,…", help="The weight of each model, or of all.")
@click.option("--density", metavar="D,…", help="The share of each delta that is kept.")
@click.option(
    "--set",
    "others",
    multiple=True,
    metavar="NAME=V,…",
    help="Any other parameter of the method, such as lambda=0.7.",
)
@click.option(
    "--dtype",
    "stored_as",
    metavar="DTYPE",
    help="Store all floats as float32, float16 or bfloat16, instead of as the base.",
)
@click.option(
    "--tokenizer",
    metavar="SOURCE",
    help="Whose tokens TARGET has, where models differ: base, union, or a model.",
)
@click.option(
    "--seed", type=int, default=0, help="Decides what methods draw at random."
)
@click.option(
    "--quantize", metavar="TYPE", help="Quantise TARGET to a mixture, such as Q4_K_M."
)
@source_options("MODELS")
@output
@shared
def merge(models: tuple[Path, ...], target: Path, **options: Any) -> None:
    """Merge MODELS into one, or those of a recipe: a YAML file as mergekit has them.

    Models may be of different formats, but of one family and one shape. The result
    has the configuration, the tokenizer and the encodings of the base, or else of the
    first model.
    """
    from aprhub.front import merge as run

    perform(options, partial(run, _recipe(models, options), target), echo_report)


def _recipe(models: tuple[Path, ...], options: dict[str, Any]) -> "Recipe":
    from aprhub.merging.reading import read_recipe
    from aprhub.merging.short import ShortForm

    seed = options.pop("seed")
    short = {
        "method": options.pop("method"),
        "base": options.pop("base"),
        "parameters": _parameters(options),
        "dtype": options.pop("stored_as"),
        "tokenizer": options.pop("tokenizer"),
    }
    if short["method"] is not None:
        return ShortForm(models=models, seed=seed, **short).recipe()
    if len(models) != 1 or models[0].suffix.lower() not in RECIPES:
        raise click.UsageError(
            "give one recipe (a .yaml file), or models and a --method"
        )
    said = [name for name, value in short.items() if value]
    if said:
        raise click.UsageError(
            f"the recipe says this, not an option: {said[0]}; write it into {models[0]}"
        )
    return read_recipe(models[0], seed)


def _parameters(options: dict[str, Any]) -> dict[str, tuple[object, ...]]:
    given = {
        "t": options.pop("t"),
        "weight": options.pop("weights"),
        "density": options.pop("density"),
    }
    for text in options.pop("others"):
        name, equals, values = text.partition("=")
        if not equals or not name:
            what = f"{text!r:.80} is not NAME=VALUE; write it so, as in lambda=0.7"
            raise click.BadParameter(what, param_hint="--set")
        given[name] = values
    return {
        name: tuple(map(_value, values.split(",")))
        for name, values in given.items()
        if values is not None
    }


def _value(text: str) -> object:
    return {"true": True, "false": False}.get(text.strip().lower(), text.strip())
