"""Every id that the program shows has a page, and every page an id."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

import aprhub.explanations
from aprhub.cli import main, subcommands
from aprhub.contracts.catalogue import contracts
from aprhub.contracts.explaining import explainable, explained
from aprhub.contracts.linting import registered
from aprhub.contracts.literals import ids, shown_ids
from aprhub.explanations import HEADINGS, explained_ids, explanation

ROOT = Path(__file__).parents[1]
FOLDER = Path(aprhub.explanations.__file__).parent
SOURCES = [*(ROOT / "aprhub").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
SHIPPED = contracts()

SHOWN = {
    each
    for file in SOURCES
    for _, each in shown_ids(ast.parse(file.read_text("utf-8")))
}
REGISTERED = {each for contract in SHIPPED for each in registered(contract)}
COMMAND = re.compile(r"^(?:\$|   ) (aprhub .+)$", re.MULTILINE)


def test_every_id_that_a_source_shows_can_be_explained() -> None:
    assert len(SHOWN) > 30
    assert set(explainable(SHIPPED)) >= SHOWN


def test_every_contract_has_a_page() -> None:
    assert set(explained_ids()) >= {contract.id for contract in SHIPPED}


def test_there_is_no_page_that_nothing_leads_to() -> None:
    assert set(explained_ids()) <= SHOWN | REGISTERED


def test_ids_are_told_from_names_of_standards() -> None:
    text = "FALSIFY-TOY-004b of SHA-256, CRC-32, GPT-2, GATE-TOY, INV-1-LAX or (C-03)"

    assert ids(text) == ["FALSIFY-TOY-004b", "GATE-TOY", "INV-1-LAX", "C-03"]


@pytest.mark.parametrize("name", explained_ids())
def test_a_page_is_a_sentence_and_four_sections(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text("utf-8")

    titles = re.findall(r"^#+ .*$", text, re.MULTILINE)
    assert titles == [f"# {name}", *(f"## {heading}" for heading in HEADINGS)]
    page = explanation(name)
    assert page.sentence.endswith(".")
    assert all(page.sections)
    assert f"{page}\n" == text


@pytest.mark.parametrize("name", explainable(SHIPPED))
def test_the_repair_is_a_command_of_the_program(name: str) -> None:
    repair = explained(name, SHIPPED).sections[HEADINGS.index("Repair")]

    commands = COMMAND.findall(repair)
    assert commands
    for line in commands:
        _parse(shlex.split(line)[1:])


def _parse(words: list[str]) -> None:
    """Parse a command line as the program would, and run nothing."""
    name, *rest = words
    command = subcommands(main)[name]
    while isinstance(command, click.Group):
        name, *rest = rest
        command = subcommands(command)[name]
    command.make_context(name, rest)
