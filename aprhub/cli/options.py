"""Options that several commands share, and how they print."""

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from aprhub.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])

_NUMBER = re.compile(r"-?[\d.,]+(e[-+]?\d+)?|-?inf|nan|-")


_DEBUG = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
_STRICT = click.option(
    "--strict-plugins", is_flag=True, help="Fail if any plugin is broken."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def printed(function: F) -> F:
    """Add `--json` and `--debug` to a command that needs no plugins."""
    return _JSON(_DEBUG(function))


def shared(function: F) -> F:
    """Add `--json`, `--strict-plugins` and `--debug` to a command."""
    return _JSON(_STRICT(_DEBUG(function)))


def refuse_given(names: Collection[str], what: str) -> None:
    """Raise UsageError where an option is given that does nothing; say whose it is."""
    context = click.get_current_context()
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source is not ParameterSource.DEFAULT:
            word = option.opts[0]
            raise click.UsageError(f"{word} belongs to {what}; leave it out")


def registry(*, strict: bool) -> "Registry":
    """Return the installed plugins, or those that a host handed to `main` as `obj`."""
    from aprhub.registry import Registry

    found = click.get_current_context().find_object(Registry) or Registry.load()
    return found.unbroken() if strict else found


def echo_json(value: Any) -> None:
    """Print JSON-like data; infinities and NaN, which JSON lacks, become texts.

    It is ASCII, since what a file calls things need not have a form in UTF-8.
    """
    click.echo(json.dumps(_strict(value), indent=2, default=str))


def _strict(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case Mapping():
            return {name: _strict(each) for name, each in value.items()}
        case list() | tuple():
            return [_strict(each) for each in value]
    return value


def echo_table(rows: Iterable[Sequence[object]], header: Sequence[str] = ()) -> None:
    """Print rows in aligned columns; columns of numbers to the right."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    lines = [list(header), *cells] if header else cells
    columns = zip(*lines, strict=True)
    padded = [_aligned(column, titles=bool(header)) for column in columns]
    for line in zip(*padded, strict=True):
        click.echo("  ".join(line).rstrip())


def _aligned(column: Sequence[str], *, titles: int) -> list[str]:
    """Pad the cells of a column, of which the first may be titles."""
    width = max(map(len, column))
    numeric = all(map(_NUMBER.fullmatch, column[titles:]))
    return [cell.rjust(width) if numeric else cell.ljust(width) for cell in column]


def printable(text: str) -> str:
    """Return text of a file with what a terminal would act on spelled out."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


def human_bytes(count: int) -> str:
    """Return a size with a binary unit, to three digits."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.2f} {units[0]}"
