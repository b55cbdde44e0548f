"""Every refusal says what to do: the texts of the sources are read, not raised."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aprhub.errors import CorruptFileError, ModelError
from scripts.error_reference import (
    CLASSES,
    CONSTANT,
    ROOT,
    SOURCES,
    assigned,
    constants,
    kind_of,
    message,
    own_nodes,
    parsed,
)

VERBS = (
    "add|allow|ask|build|change|check|choose|close|compare|convert|correct|cut"
    "|decode|delete|download|drop|encode|enter|export|extract|fetch|free|get"
    "|give|install|keep|leave|list|look|lower|make|map|mend|merge|move|name|open"
    "|pass|pick|pip|point|print|put|quantise|raise|read|remove|rename|repair"
    "|report|retrain|run|save|say|see|send|set|shorten|sign|spell|split|start"
    "|stop|take|tell|train|try|uninstall|unset|update|use|verify|wait|write"
)
ASKED = re.compile(rf"(?:^|[;:?.,(] |\b(?:or|and|then|to repair) )'?(?:{VERBS})\b")
"""A sentence, or a part of one, that begins with what somebody is to do."""


def refusals(file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of the errors that a source raises with a text of its own.

    What a class says itself and what stands in the faults is left out: `repair` is a
    field of both.
    """
    for function in ast.walk(parsed(file)):
        if not isinstance(function, ast.FunctionDef):
            continue
        texts = {**constants(file), **assigned(function)}
        for node in own_nodes(function):
            if isinstance(node, ast.Call) and told_elsewhere(node):
                continue
            if isinstance(node, ast.Call) and (said := message(node, texts)):
                yield node.lineno, said


def told_elsewhere(call: ast.Call) -> bool:
    """Return whether something else than the text of an error says what to do."""
    kind = kind_of(call)
    if kind in ("Fault", *CONSTANT) or not kind:
        return True
    made = CLASSES[kind]
    return made is CorruptFileError or (issubclass(made, ModelError) and faulty(call))


def faulty(call: ast.Call) -> bool:
    """Return whether an error is given its faults."""
    return len(call.args) > 2 or any(each.arg == "faults" for each in call.keywords)


@pytest.mark.parametrize(
    "file", SOURCES, ids=lambda file: file.relative_to(ROOT).as_posix()
)
def test_a_refusal_says_what_to_do(file: Path) -> None:
    silent = [
        f"{line}: {said}" for line, said in refusals(file) if not ASKED.search(said)
    ]
    assert not silent
