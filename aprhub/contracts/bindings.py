"""What a falsifier's `test` is: a test that can be looked up, or something else."""

import re
import shlex
from enum import StrEnum
from typing import Final

from attrs import frozen


class BindingKind(StrEnum):
    """What can be said of a binding without running it."""

    PYTEST = "pytest"
    NAME = "name of a test"
    CARGO = "cargo"
    HARNESS = "command"
    PENDING = "pending"
    PROSE = "prose"


JUDGED: Final = (BindingKind.PYTEST, BindingKind.NAME, BindingKind.PROSE)
"""The kinds of which a wrong one is found; of others nobody knows."""

_NODE = re.compile(r"[\w./-]+\.py(::.+)?")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PATH = re.compile(r"(\.{0,2}/)?[\w.-]+(/[\w.-]+)+")
_COMMANDS: Final = frozenset(
    (
        *("apr", "aprhub", "pv", "pmat", "bash", "sh", "python", "python3", "make"),
        *("grep", "test", "[", "diff", "cmp", "jq", "curl", "cat", "ls", "echo"),
        *("for", "if", "timeout", "git", "cargo", "lake", "nvidia-smi", "uv", "!"),
    )
)
_ENDS: Final = ("&&", "||", "|", ";", ">", "2>&1")


@frozen
class Binding:
    """What a falsifier is bound to: its kind, and the tests by node id or by name."""

    kind: BindingKind
    cited: tuple[str, ...] = ()


def binding(test: str) -> Binding:
    """Return what a falsifier is bound to.

    `cargo test`s and commands are not looked into: whether they exist is unknown.
    """
    if not test or test.startswith("LIVE-PENDING"):
        return Binding(BindingKind.PENDING)
    if "cargo test" in test:
        return Binding(BindingKind.CARGO)
    words = _words(test)
    nodes = tuple(word for word in words if _NODE.fullmatch(word))
    if words[0] in ("pytest", "python", "python3") and "pytest" in words[:3]:
        return Binding(BindingKind.PYTEST if nodes else BindingKind.HARNESS, nodes)
    if "::" in words[0] and len(nodes) == len(words):
        return Binding(BindingKind.PYTEST, nodes)
    if len(words) == 1 and test.isidentifier():
        return Binding(BindingKind.NAME, (test,))
    return Binding(BindingKind.HARNESS if _is_command(words[0]) else BindingKind.PROSE)


def _words(test: str) -> list[str]:
    """Return the words of a command up to where another one begins."""
    try:
        words = shlex.split(test)
    except ValueError:
        words = test.split()
    end = next((at for at, word in enumerate(words) if word in _ENDS), len(words))
    return words[:end] or [test]


def _is_command(word: str) -> bool:
    known = word in _COMMANDS or _PATH.fullmatch(word)
    return bool(known or _ASSIGNMENT.match(word))
