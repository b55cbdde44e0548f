"""The ids that the texts of a program show: rules, contracts, falsifiers."""

import ast
import re
from collections.abc import Iterator
from typing import Final

ID: Final = re.compile(
    r"(?<![\w-])(?:(?:FALSIFY|GATE|INV|OBLIG)(?:-[A-Z0-9]+)+[a-z]?"
    r"|[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*-\d{2,}[a-z]?)\b"
)
"""What looks like an id: words of which the last is a number, or the first tells."""

_STANDARDS: Final = ("SHA-", "CRC-", "UTF-", "ISO-", "FP-", "P-")
"""Names of standards look the same."""

_BODIES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def ids(text: str) -> list[str]:
    """Return the ids in a text."""
    return [each for each in ID.findall(text) if not each.startswith(_STANDARDS)]


def shown_ids(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the ids in the literals of a module, with lines; docstrings show none."""
    silent = set(map(id, _docstrings(tree)))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in silent:
            continue
        if isinstance(node.value, str):
            yield from ((node.lineno, each) for each in ids(node.value))


def _docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the texts that stand by themselves in a body, as docstrings do."""
    for node in ast.walk(tree):
        if isinstance(node, _BODIES):
            yield from (each.value for each in node.body if isinstance(each, ast.Expr))
