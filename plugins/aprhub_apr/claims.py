"""The metadata keys of one file, taken one by one; each leaves a fate."""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from aprhub.api import CorruptFileError, KeyFate
from aprhub_apr.document import brief
from aprhub_apr.tables import NEVER_NULL

_F32_MAX: Final = float.fromhex("0x1.fffffep127")


@frozen
class Kind:
    """A type of JSON values: its name in messages, and the test."""

    title: str
    accepts: Callable[[Any], bool]

    def __or__(self, other: "Kind") -> "Kind":
        """Return the kind of values that are of either."""
        return Kind(
            f"{self.title} or {other.title}",
            lambda value: self.accepts(value) or other.accepts(value),
        )


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _F32_MAX


def _is_wide_number(value: Any) -> bool:
    return type(value) is float and math.isfinite(value) or _is_number(value)


def listed(title: str, *types: type) -> Kind:
    """Return the kind of lists whose items are of some of Python's types."""
    allowed = frozenset(types)
    return Kind(
        f"a list of {title}",
        lambda value: type(value) is list and allowed >= set(map(type, value)),
    )


def mapped(kind: Kind) -> Kind:
    """Return the kind of objects whose values are of one kind."""
    return Kind(
        f"an object, each value {kind.title}",
        lambda value: type(value) is dict and all(map(kind.accepts, value.values())),
    )


def shaped(fields: Mapping[str, Kind], *, required: Iterable[str] = ()) -> Kind:
    """Return the kind of objects with given keys; others are not looked at."""
    names = ", ".join(fields)
    needed = frozenset(required)

    def accepts(value: Any) -> bool:
        return (
            type(value) is dict
            and needed <= value.keys()
            and all(fields[key].accepts(value[key]) for key in fields.keys() & value)
        )

    return Kind(f"an object of {names}", accepts)


NULL: Final = Kind("null", lambda value: value is None)
TEXT: Final = Kind("a string", lambda value: type(value) is str)
FLAG: Final = Kind("true or false", lambda value: type(value) is bool)
TEXTS: Final = listed("strings", str)
OBJECT: Final = Kind("an object", lambda value: type(value) is dict)
COUNT: Final = Kind(
    "an integer from 0 to 2^64-1",
    lambda value: _is_integer(value) and 0 <= value < 1 << 64,
)
NUMBER: Final = Kind("a number in the range of f32", _is_number)
WIDE_NUMBER: Final = Kind("a finite number", _is_wide_number)


@define
class Claims:
    """The keys that a file has and that nobody has taken yet.

    `offset` is where the metadata start in the file.
    """

    path: Path
    offset: int
    keys: dict[str, Any]
    fates: list[KeyFate] = field(factory=list)
    notes: list[str] = field(factory=list)

    def take(self, key: str, kind: Kind, into: str, also: Iterable[str] = ()) -> Any:
        """Return the value of a key, or of one of its other spellings, or None.

        Raises CorruptFileError for a value of another kind, and when two spellings
        have two values.
        """
        spellings = [name for name in (key, *also) if name in self.keys]
        found = {name: self._taken(name, kind, into) for name in spellings}
        said = {name: value for name, value in found.items() if value is not None}
        if len(found) > 1:
            self._check_agreement(said)
            self.notes.append(f"{' and '.join(found)} are two spellings of one key")
        return next(iter(said.values()), None)

    def drop(self, key: str, kind: Kind, why: str) -> Any:
        """Return the value of a key that is checked and then left behind, or None."""
        if key not in self.keys:
            return None
        value = self._checked(key, kind)
        self.settle(key, "dropped", why=why)
        return value

    def error(self, key: str, what: str) -> CorruptFileError:
        """Return the error that a key's value is not what it should be."""
        return CorruptFileError(
            self.path, what, where=f"metadata key {key!r}", offset=self.offset
        )

    def settle(self, key: str, fate: str, into: str = "", why: str = "") -> None:
        """Note what became of a key."""
        self.fates.append(KeyFate(key, fate, into, why))

    def _taken(self, key: str, kind: Kind, into: str) -> Any:
        value = self._checked(key, kind)
        same = key == into.rpartition(".")[2]
        self.settle(key, "kept" if same else "renamed", into)
        return value

    def _checked(self, key: str, kind: Kind) -> Any:
        value = self.keys.pop(key)
        allowed = kind if key in NEVER_NULL else kind | NULL
        if not allowed.accepts(value):
            raise self.error(key, f"{brief(value)}, expected {kind.title}")
        return value

    def _check_agreement(self, said: Mapping[str, Any]) -> None:
        (first, value), *others = [*said.items()] or [("", None)]
        for name, other in others:
            if other != value:
                raise self.error(
                    first,
                    f"{brief(value)}, but {name!r}, another spelling of it, is"
                    f" {brief(other)}; remove the wrong one",
                )
