"""Options that several commands share, and how they print."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from aprhub.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])


def shared(function: F) -> F:
    """Add `--json`, `--strict-plugins` and `--debug` to a command."""
    for option in (
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
        click.option(
            "--strict-plugins", is_flag=True, help="Fail if any plugin is broken."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):
        function = option(function)
    return function


def registry(*, strict: bool) -> "Registry":
    """Return the installed plugins."""
    from aprhub.registry import Registry

    return Registry.load(strict=strict)


def echo_json(value: Any) -> None:
    """Print JSON-like data."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def echo_table(rows: Iterable[Sequence[object]], header: Sequence[str] = ()) -> None:
    """Print rows in aligned columns; numbers to the right."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    lines = [list(header), *cells] if header else cells
    if not lines:
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (
            cell.rjust(width) if cell.replace(",", "").isdigit() else cell.ljust(width)
            for cell, width in zip(line, widths, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


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
