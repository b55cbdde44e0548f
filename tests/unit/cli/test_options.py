"""Every option has a test: the three surfaces of a flag change together."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aprhub.cli import main, subcommands

TESTS = Path(__file__).parents[2]
WORD = re.compile(r"(?<![\w-])--?[a-z][a-z0-9-]*")


def leaves(group: click.Group, words: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in subcommands(group).items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{words}{name} ")
        else:
            yield f"{words}{name}", command


COMMANDS = dict(leaves(main))


@pytest.fixture(scope="module")
def tried() -> set[str]:
    """All options that tests mention."""
    files = (each for each in TESTS.rglob("*.py") if each != Path(__file__))
    return {word for each in files for word in WORD.findall(each.read_text("utf-8"))}


UNTRIED = ("--compile",)
"""What needs more than a test can ask for: a compiler of C."""


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_is_tried_by_a_test(name: str, tried: set[str]) -> None:
    options = (each for each in COMMANDS[name].params if isinstance(each, click.Option))
    known = tried.union(UNTRIED)

    assert [each.opts for each in options if known.isdisjoint(each.opts)] == []
