"""Puts the program's own help into docs/cli.md; `--check` fails where it is stale.

The text of the page is written by hand. A block that begins with `$ aprhub … --help`
holds what that command prints, and every command has one.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner

from aprhub.cli import main as program
from aprhub.cli import subcommands

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
BLOCK = re.compile(r"^```console\n\$ aprhub ([^\n]*--help)\n.*?^```$", re.M | re.S)
WIDTH = 80
"""Characters in a line of help: those of a terminal that nobody resized."""


def helped(words: str) -> str:
    """Return what the program prints for its words, one of which is `--help`."""
    done = CliRunner().invoke(
        program,
        words.split(),
        catch_exceptions=False,
        prog_name="aprhub",
        terminal_width=WIDTH,
    )
    return done.output


def block(found: re.Match[str]) -> str:
    """Return a block of the page with the help of today."""
    return f"```console\n$ aprhub {found[1]}\n{helped(found[1])}```"


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    """Yield the words of a group and of all commands in it, each with a space after."""
    yield before
    for name, command in subcommands(group).items():
        words = f"{before}{name} "
        if isinstance(command, click.Group):
            yield from commands(command, words)
        else:
            yield words


def refreshed(page: str) -> str:
    """Return the page with every block made anew; raise where a command has none."""
    shown = set(BLOCK.findall(page))
    expected = {f"{words}--help" for words in commands(program)}
    if shown != expected:
        wrong = ", ".join(f"aprhub {words}" for words in sorted(shown ^ expected))
        raise SystemExit(f"{PAGE}: lacks a block, or has one too many: {wrong}")
    return BLOCK.sub(block, page)


def main() -> None:
    """Write the page, or compare it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="compare, write nothing")
    chosen = options.parse_args()
    before = PAGE.read_text("utf-8")
    after = refreshed(before)
    if not chosen.check:
        PAGE.write_text(after, "utf-8")
    elif after != before:
        lines = difflib.unified_diff(
            before.splitlines(),
            after.splitlines(),
            "docs/cli.md",
            "--help",
            lineterm="",
        )
        print("\n".join(lines))
        sys.exit("docs/cli.md is stale; run python scripts/cli_reference.py")


if __name__ == "__main__":
    main()
