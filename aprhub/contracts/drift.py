"""Whether a cited test is there; if not, in which of five ways the citation drifted."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from itertools import takewhile
from typing import Final

from attrs import frozen

from aprhub.contracts.bindings import Binding, BindingKind
from aprhub.contracts.sources import SourceTree, Test


class Drift(StrEnum):
    """How a citation misses the test that it means."""

    SUFFIX = "A"
    PLACE = "B"
    CONVENTION = "C"
    TRUNCATED = "D"
    PROSE = "E"


MEANINGS: Final = {
    Drift.SUFFIX: "a test of another ending is there",
    Drift.PLACE: "a test of this name is somewhere else",
    Drift.CONVENTION: "no test has a name like it",
    Drift.TRUNCATED: "a test of a longer name is there",
    Drift.PROSE: "this is prose, and nothing that could be run",
}


@frozen
class Resolved:
    """The tests that a citation means, or how it drifted and from what."""

    cited: str
    tests: tuple[Test, ...] = ()
    drift: Drift | None = None
    near: str = ""


def resolved(bound: Binding, tree: SourceTree) -> list[Resolved]:
    """Return what became of each test that a binding cites."""
    if bound.kind is BindingKind.PROSE:
        return [Resolved("", drift=Drift.PROSE)]
    if bound.kind is BindingKind.NAME:
        return [_by_name(name, tree) for name in bound.cited]
    return [_by_node(node, tree) for node in bound.cited]


def _by_name(name: str, tree: SourceTree) -> Resolved:
    found = tuple(each for each in tree.tests.values() if each.name == name)
    return Resolved(name, found) if found else _drifted(name, name, "", tree)


def _by_node(cited: str, tree: SourceTree) -> Resolved:
    """Look up a whole node id; a file or a class stands for all tests in it."""
    node = cited.partition("[")[0].removeprefix("./")
    tests = tree.tests.values()
    inside = tuple(each for each in tests if each.node.startswith(f"{node}::"))
    found = (tree.tests[node],) if node in tree.tests else inside
    if found:
        return Resolved(cited, found)
    file, _, qualname = node.partition("::")
    return _drifted(cited, qualname.rpartition("::")[2], file, tree)


def _drifted(cited: str, name: str, file: str, tree: SourceTree) -> Resolved:
    """Classify what cannot be found; names of the same file are looked at first."""
    here = [each for each in tree.tests.values() if each.file == file]
    for tests in (here, tree.tests.values()):
        for drift, fits in _LIKENESSES.items():
            found = (each for each in tests if name and fits(name, each.name))
            near = next(found, None)
            if near:
                return Resolved(cited, drift=drift, near=near.node)
    return Resolved(cited, drift=Drift.CONVENTION, near=_closest(name, here))


def _same(cited: str, real: str) -> bool:
    return cited == real


def _longer(cited: str, real: str) -> bool:
    return real.startswith(f"{cited}_")


def _same_beginning(cited: str, real: str) -> bool:
    """Return whether but for the last words, two at most, they are the same."""
    one, other = cited.split("_"), real.split("_")
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    shared = len([*same])
    rest = max(len(one), len(other)) - shared
    return rest <= 2 and shared > rest


_LIKENESSES: Final[Mapping[Drift, Callable[[str, str], bool]]] = {
    Drift.PLACE: _same,
    Drift.TRUNCATED: _longer,
    Drift.SUFFIX: _same_beginning,
}
"""What a cited and a real name have in common, the surest first."""


def _closest(name: str, tests: Iterable[Test]) -> str:
    nodes = {each.name: each.node for each in tests}
    near = get_close_matches(name, list(nodes), n=1)
    return nodes[near[0]] if near else ""
