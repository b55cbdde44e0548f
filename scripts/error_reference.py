"""Writes docs/errors.md: every error that the sources raise; `--check` finds it stale.

The sources are read, not run. A message is shown as it stands there, with the parts
that depend on the file in braces.
"""

import argparse
import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from attrs import frozen

from aprhub import errors
from aprhub.contracts.literals import shown_ids
from aprhub.explanations import explained_ids, explanation

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"
SOURCES = sorted(
    file
    for folder in ("aprhub", "plugins")
    for file in (ROOT / folder).rglob("*.py")
    if "testing" not in file.parts
)
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.AprhubError)
}
USAGE = "UsageError"
CONSTANT = {
    "TargetExistsError": "exists already; use --force to replace it",
    "ContestedNameError": "{kind} {name} is provided by {…}; say which one",
    "UnknownNameError": (
        "no {kind} is called {name}; did you mean {…}? (give one of {…})"
    ),
}
"""What errors say that make their messages themselves."""
LONGEST = 24
"""Characters of an expression that is shown whole."""

HEAD = """\
# Errors

Made by `python scripts/error_reference.py` from the sources; do not edit.

An error is one message: which file and where in it, what was found, what was expected,
what to do. Checks that find several faults list them, one a line. Where a message shows
an id, `aprhub explain ID` says what it means, why it matters, and how to repair it.

What depends on the file is in braces below. The class adds the file, and the field and
the byte in it; that of damaged files what to do about damage, where the text says
nothing else. A name that nobody knows is answered with the known one nearest to it.
"""


@frozen
class Raised:
    """An error that a module raises: its class and its message."""

    module: str
    kind: str
    message: str


@cache
def parsed(file: Path) -> ast.Module:
    """Return the tree of a source."""
    return ast.parse(file.read_text("utf-8"))


@cache
def makers() -> dict[str, str]:
    """Return the functions that make errors, by name, and the class that each makes."""
    nodes = (node for file in SOURCES for node in ast.walk(parsed(file)))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef))
    made = {each.name: ast.unparse(each.returns) for each in functions if each.returns}
    return {name: kind for name, kind in made.items() if kind in CLASSES}


def raised(file: Path) -> Iterator[Raised]:
    """Yield the errors of a module in the order of its lines."""
    module = file.relative_to(ROOT).with_suffix("").as_posix()
    for function in ast.walk(parsed(file)):
        if not isinstance(function, ast.FunctionDef):
            continue
        texts = {**constants(file), **assigned(function)}
        for node in own_nodes(function):
            if isinstance(node, ast.Call) and (said := message(node, texts)):
                yield Raised(module, kind_of(node), said)


def own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of functions in it."""
    waiting: list[ast.AST] = list(reversed(function.body))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef):
            waiting += reversed([*ast.iter_child_nodes(node)])


def kind_of(node: ast.Call) -> str:
    """Return the class of the error, or the fault, that a call makes; else nothing."""
    name = ast.unparse(node.func).rpartition(".")[2]
    if name in CLASSES or name == "Fault":
        return name
    return USAGE if name == "refuse" else makers().get(name, "")


Texts = dict[str, list[ast.expr]]
"""What a name stands for, one place of its function after the other."""


@cache
def constants(file: Path) -> Texts:
    """Return what the names of a module stand for, as far as they are texts."""
    return given(parsed(file).body)


def assigned(function: ast.FunctionDef) -> Texts:
    """Return what the names of a function stand for, as far as they are texts."""
    return given(ast.walk(function))


def given(nodes: Iterable[ast.AST]) -> Texts:
    """Return the texts that are given names."""
    found: Texts = {}
    for node in nodes:
        match node:
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(
                ast.Name(name), _, ast.expr() as value
            ) if text(value, {}):
                found.setdefault(name, []).append(value)
    return found


def message(call: ast.Call, texts: Texts) -> str:
    """Return the message of the error that a call makes, nothing where it makes none.

    A message that the caller gives is empty here: it is found where it is given.
    """
    kind = kind_of(call)
    if kind in CONSTANT or not kind:
        return CONSTANT.get(kind, "")
    parts = (text(each, texts) for each in call.args)
    return ": ".join(filter(None, parts))


def text(node: ast.expr, texts: Texts) -> str:
    """Return a text with its variable parts in braces; nothing where it is none."""
    match node:
        case ast.Constant(str() as value):
            return value
        case ast.JoinedStr(values):
            return "".join(text(each, texts) or hole(each) for each in values)
        case ast.FormattedValue(ast.Name(name)) if name.isupper():
            return text(latest(texts[name], node), {}) if name in texts else ""
        case ast.BinOp(left, ast.Add(), right):
            return text(left, texts) + text(right, texts)
        case ast.IfExp(_, body, orelse):
            return " / ".join(filter(None, (text(body, texts), text(orelse, texts))))
        case ast.Name(name) if name in texts:
            return text(latest(texts[name], node), {})
    return ""


def latest(values: list[ast.expr], place: ast.expr) -> ast.expr:
    """Return the value that was given last before a place, else the first."""
    ordered = sorted(values, key=lambda each: each.lineno)
    before = [each for each in ordered if each.lineno <= place.lineno]
    return before[-1] if before else ordered[0]


def hole(node: ast.expr) -> str:
    """Return an expression in a text, where it is short, in braces."""
    inner = ast.unparse(node.value) if isinstance(node, ast.FormattedValue) else ""
    return f"{{{inner}}}" if inner and len(inner) <= LONGEST else "{…}"


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table."""
    names = list(titles)
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [names, ["---"] * len(names), *cells]
    return ["| " + " | ".join(line) + " |" for line in lines]


def classes() -> list[str]:
    """Return the table of error classes."""
    rows = (
        (f"`{name}`", str(value.exit_code), first_line(value))
        for name, value in CLASSES.items()
    )
    return ["## Classes", "", *table(("class", "exit code", "meaning"), rows)]


def first_line(value: type) -> str:
    """Return what the docstring of a class says first."""
    return (value.__doc__ or "").strip().partition("\n")[0]


def identifiers() -> list[str]:
    """Return the table of ids that sources show, with the modules that show them."""
    places: dict[str, set[str]] = {each: set() for each in explained_ids()}
    for file in SOURCES:
        for _, each in shown_ids(parsed(file)):
            name = file.relative_to(ROOT).as_posix()
            places.setdefault(each, set()).add(f"`{name}`")
    rows = (
        (f"`{name}`", explanation(name).sentence.replace("\n", " "), ", ".join(files))
        for name, found in sorted(places.items())
        if (files := sorted(found))
    )
    return ["## Ids", "", *table(("id", "meaning", "shown by"), rows)]


def messages() -> list[str]:
    """Return a table for each module that raises or finds something."""
    lines = ["## Messages"]
    for file in SOURCES:
        found = dict.fromkeys(raised(file))
        if found:
            rows = ((one_line(each.message), f"`{each.kind}`") for each in found)
            lines += ["", f"### {next(iter(found)).module}", ""]
            lines += table(("message", "class"), rows)
    return lines


def one_line(said: str) -> str:
    """Return a message in code, on one line."""
    return "`` " + " ".join(said.replace("`", "'").split()) + " ``"


def page() -> str:
    """Return the page of today."""
    parts = ([HEAD.rstrip()], classes(), identifiers(), messages())
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def main() -> None:
    """Write the page, or compare it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="compare, write nothing")
    made = page()
    if not options.parse_args().check:
        PAGE.write_text(made, "utf-8")
    elif PAGE.read_text("utf-8") != made:
        sys.exit("docs/errors.md is stale; run python scripts/error_reference.py")


if __name__ == "__main__":
    main()
