"""Neighbours: which tensors one may be mistaken for."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from aprhub.ir.model import EMBEDDING, HEAD

_PLACE: Final = re.compile(
    r"layers\.(?P<layer>\d+)\.(experts\.(?P<expert>\d+)\.)?(?P<role>.+)"
)


def likely(name: str, names: Iterable[str]) -> Iterator[str]:
    """Yield the others of its layer, and those of its role in other layers."""
    mine = _PLACE.fullmatch(name)
    for other in names:
        theirs = _PLACE.fullmatch(other)
        if other == name:
            continue
        if mine is None or theirs is None:
            if mine is theirs:
                yield other
        elif mine["layer"] == theirs["layer"] or (
            mine["role"] == theirs["role"] and mine["expert"] == theirs["expert"]
        ):
            yield other


def cause_of_swap(name: str, other: str) -> str:
    """Return the cause for which one tensor has the values of another."""
    if {name, other} == {EMBEDDING, HEAD}:
        return "tied"
    mine, theirs = _PLACE.fullmatch(name), _PLACE.fullmatch(other)
    if mine is None or theirs is None or mine["expert"] is None:
        return "swapped"
    same = mine["layer"] == theirs["layer"] and mine["role"] == theirs["role"]
    return "experts" if same else "swapped"
