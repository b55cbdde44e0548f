"""The documentation is true: code runs, commands parse, links lead somewhere."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aprhub import Registry, save_model
from aprhub.cli import COMMANDS, main, subcommands
from aprhub.detect import identify
from aprhub.spec.family import Family
from aprhub.testing.models import PICOS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# The blocks of the guide to plugins are files of a project, which has its own test.
RUN = [ROOT / "README.md", ROOT / "docs" / "python-api.md"]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _blocks(page: Path, language: str) -> Iterator[str]:
    for found in FENCE.finditer(page.read_text("utf-8")):
        if found[1] == language:
            yield found[2]


def _commands(page: Path) -> Iterator[list[str]]:
    for block in _blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ aprhub "):
                yield shlex.split(line, comments=True)[2:]


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the usual renderers make them."""
    titles = HEADING.findall(FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in titles}


@pytest.mark.parametrize("page", RUN, ids=_name)
def test_the_code_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry.load()
    monkeypatch.chdir(tmp_path)
    save_model(PICOS["llama"].model(registry), "smollm2.gguf", registry=registry)

    # As one would type it in: each block sees the names of those above it.
    exec(compile("\n".join(_blocks(page, "python")), _name(page), "exec"), {})

    assert list(tmp_path.glob("*.apr"))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_command_of_a_page_is_one_of_the_program(page: Path) -> None:
    for name, *words in _commands(page):
        if name.startswith("-"):
            continue
        command = subcommands(main)[name]
        while isinstance(command, click.Group) and words[0] in command.commands:
            name, *words = words
            command = command.commands[name]
        # Only --help ends the parsing of a command line, and it is none to parse.
        parsed = [word for word in words if word != "--help"]
        resilient = parsed != words
        command.make_context(name, parsed, resilient_parsing=resilient)


def test_every_command_of_the_program_is_shown_in_the_readme() -> None:
    shown = {words[0] for words in _commands(ROOT / "README.md")}

    assert shown >= COMMANDS.keys()


@pytest.mark.parametrize("name", ["cli_reference", "error_reference"])
def test_what_is_made_of_the_program_is_of_this_program(name: str) -> None:
    script = ROOT / "scripts" / f"{name}.py"

    check = [sys.executable, str(script), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if target.startswith(("https://", "mailto:")):
            continue
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), target
        assert not anchor or anchor in _anchors(found), f"{target}#{anchor}"


def _row(page: Path, first: str) -> str:
    """Return the line of a page's table whose first cell is a word in code."""
    lines = page.read_text("utf-8").splitlines()
    return next((line for line in lines if line.startswith(f"| `{first}` |")), "")


def _families() -> list[Family]:
    return [each.value for each in Registry.load().families]


@pytest.mark.parametrize("family", _families(), ids=lambda each: each.name)
def test_every_family_is_described_under_its_names(family: Family) -> None:
    row = _row(ROOT / "docs" / "formats.md", family.name)

    words = set(re.findall(r"`([^`]*)`", row))
    names = {family.hf_classes[0], *family.hf_model_types, family.ggml_architecture}
    assert names | {family.slug} <= words


def _own_keys(pico: str, suffix: str, folder: Path) -> set[str]:
    """Return the keys of our own in a file, from what its reader did with them."""
    registry = Registry.load()
    path = folder / f"model{suffix}"
    save_model(PICOS[pico].model(registry), path, registry=registry)
    fates = identify(path, registry).opened(path).fates
    return {fate.key for fate in fates if fate.key.startswith("aprhub.")}


@pytest.mark.parametrize(("title", "suffix"), [("APR v2", ".apr"), ("GGUF", ".gguf")])
@pytest.mark.parametrize("pico", PICOS)
def test_every_key_of_our_own_is_described(
    pico: str, title: str, suffix: str, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "formats.md").read_text("utf-8")
    section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    described = re.findall(r"`(aprhub\.[\w.]+)`", section)
    patterns = [re.sub("FIELD|NAME|WORLD", r"\\w+", each) for each in described]

    keys = _own_keys(pico, suffix, tmp_path)

    assert keys
    unknown = [key for key in keys if not any(re.fullmatch(p, key) for p in patterns)]
    assert unknown == []
