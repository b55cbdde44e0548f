"""Options that say how to read a file, and what comes of them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import evolve

from aprhub.cli.options import registry

if TYPE_CHECKING:
    from aprhub.identity import Fit
    from aprhub.ir.model import ModelIR
    from aprhub.options import RunOptions
    from aprhub.registry import Registry
    from aprhub.spec.format import StoredModel

F = TypeVar("F", bound=Callable[..., Any])


def source(metavar: str) -> Callable[[F], F]:
    """Return what adds `--from`, `--naming` and `--family` to a command."""
    added = (
        click.option(
            "--family",
            metavar="FAMILY",
            help=f"Family of {metavar}, instead of what it claims.",
        ),
        click.option(
            "--naming",
            metavar="NAMING",
            help=f"Naming of {metavar}'s tensors; 'keep' changes no name.",
        ),
        click.option(
            "--from",
            "source_format",
            metavar="FORMAT",
            help=f"Format of {metavar}, instead of detecting it.",
        ),
    )

    def add(function: F) -> F:
        for option in added:
            function = option(function)
        return function

    return add


def run_request(options: dict[str, Any]) -> tuple["RunOptions", "Registry"]:
    """Return how a model is read to be run, and the plugins, from what is left."""
    from aprhub.options import RunOptions

    plugins = registry(strict=options["strict_plugins"])
    besides = ("as_json", "debug", "strict_plugins")
    told = {name: each for name, each in options.items() if name not in besides}
    return RunOptions(**told), plugins


def opened(file: Path, options: dict[str, Any]) -> tuple["StoredModel", "Registry"]:
    """Open a file as the options say; no weights are read."""
    from aprhub.detect import identify
    from aprhub.unpacking import unpacked

    plugins = registry(strict=options["strict_plugins"])
    reader = identify(file, plugins, options["source_format"])
    return unpacked(reader.opened(file), plugins, options["naming"]), plugins


def read_canonical(
    file: Path, options: dict[str, Any]
) -> tuple["StoredModel", "ModelIR"]:
    """Open a file as the options say; return it, and its canonical model, checked."""
    from aprhub.conversion import opened as read
    from aprhub.errors import about
    from aprhub.lift import LiftOptions

    plugins = registry(strict=options["strict_plugins"])
    lift = LiftOptions(options["naming"], options["family"])
    with about(file):
        found = read(file, plugins, lift, options["source_format"])
    return found.stored, found.found.model


def fit_of(
    stored: "StoredModel", plugins: "Registry", options: dict[str, Any]
) -> tuple["Fit | None", str | None]:
    """Return how a model fits its family, or why it has none: here no failure.

    With names kept, it has none without a reason. In a model of more than text the text
    model has a family, and all names are those of the whole.
    """
    from aprhub.errors import ModelError, PluginError, UnknownNameError
    from aprhub.identity import resolved
    from aprhub.lift import KEEP, namings_of
    from aprhub.unpacking import prepared

    if options["naming"] == KEEP:
        return None, None
    text = prepared(stored, plugins)
    try:
        namings = namings_of(text, plugins, options["naming"])
        fit, _ = resolved(text, plugins, namings, options["family"])
    except UnknownNameError:
        raise
    except (ModelError, PluginError) as error:
        return None, str(error)
    names = dict(zip(text.tensors, stored.tensors, strict=True))
    spellings = [evolve(each, stored=names[each.stored]) for each in fit.spellings]
    unknown = [names[each] for each in fit.unknown]
    return evolve(fit, spellings=tuple(spellings), unknown=tuple(unknown)), None
