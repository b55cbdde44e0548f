"""The metadata keys of one file, taken one by one; each leaves a fate."""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from aprhub.api import (
    Complaints,
    CorruptFileError,
    Dispute,
    KeyFate,
    Texts,
    meant_number,
    mistyped,
)
from aprhub_apr.document import brief
from aprhub_apr.tables import NEVER_NULL

_F32_MAX: Final = float.fromhex("0x1.fffffep127")
_F64_MAX: Final = sys.float_info.max

_ANEW: Final = "write the file anew with what made it"
_BY_DOCTOR: Final = "repair it with 'aprhub doctor --fix -o OUT'"
_DISPUTED: Final = "see which one 'aprhub doctor' takes for right"


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


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} and 0 <= value <= _F32_MAX


def _is_wide_number(value: Any) -> bool:
    return type(value) in {int, float} and abs(value) <= _F64_MAX


def listed(title: str, *types: type) -> Kind:
    """Return the kind of lists whose items are of some of Python's types."""
    allowed = frozenset(types)

    def accepts(value: Any) -> bool:
        if isinstance(value, Texts):
            return str in allowed
        return type(value) is list and allowed >= set(map(type, value))

    return Kind(f"a list of {title}", accepts)


def mapped(kind: Kind) -> Kind:
    """Return the kind of objects whose values are of one kind."""
    return Kind(
        f"an object, each value {kind.title}",
        lambda value: type(value) is dict and all(map(kind.accepts, value.values())),
    )


def shaped(
    fields: Mapping[str, Kind], *, required: Iterable[str] = (), closed: bool = False
) -> Kind:
    """Return the kind of objects with given keys, and no others if `closed`."""
    needed = frozenset(required)

    def accepts(value: Any) -> bool:
        return (
            type(value) is dict
            and needed <= value.keys()
            and (not closed or value.keys() <= fields.keys())
            and all(fields[key].accepts(value[key]) for key in fields.keys() & value)
        )

    return Kind(f"an object of {', '.join(fields)}", accepts)


NULL: Final = Kind("null", lambda value: value is None)
TEXT: Final = Kind("a string", lambda value: type(value) is str)
FLAG: Final = Kind("true or false", lambda value: type(value) is bool)
TEXTS: Final = listed("strings", str)
OBJECT: Final = Kind("an object", lambda value: type(value) is dict)
COUNT: Final = Kind(
    "an integer from 0 to 2^64-1",
    lambda value: type(value) is int and 0 <= value < 1 << 64,
)
NUMBER: Final = Kind("a number from 0 to the largest f32", _is_number)
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
    complaints: Complaints = field(factory=Complaints)

    def take(self, key: str, kind: Kind, into: str, also: Iterable[str] = ()) -> Any:
        """Return the value of a key, or of one of its other spellings, or None.

        `into` is its place in the canonical model. Raises CorruptFileError for a value
        of another kind, and when two spellings have two values.
        """
        said = {}
        for name in self.present((key, *also)):
            said[name] = self.checked(name, kind)
            same = name == into.rpartition(".")[2]
            self.settle(name, "kept" if same else "renamed", into)
        return self._agreed(said)

    def present(self, spellings: Iterable[str]) -> list[str]:
        """Return the spellings under which there is something."""
        return [name for name in spellings if name in self.keys]

    def checked(self, key: str, kind: Kind) -> Any:
        """Return and remove the value of a key, which has to be of a kind or null."""
        value = self.keys.pop(key)
        allowed = kind if key in NEVER_NULL else kind | NULL
        if allowed.accepts(value):
            return value
        what = f"found {brief(value)}, expected {kind.title}"
        meant = meant_number(value)
        if not allowed.accepts(meant):
            raise self.error(key, what)
        error = self.error(key, what, _BY_DOCTOR)
        self.complaints.forgive(error, mistyped(key, brief(value), meant))
        return meant

    def error(self, key: str, what: str, repair: str = _ANEW) -> CorruptFileError:
        """Return the error that a key's value is not what it should be."""
        where = f"metadata key {key!r:.80}"
        return CorruptFileError(
            self.path, what, where=where, offset=self.offset, repair=repair
        )

    def settle(self, key: str, fate: str, into: str = "", why: str = "") -> None:
        """Note what became of a key."""
        self.fates.append(KeyFate(key, fate, into, why))

    def _agreed(self, said: Mapping[str, Any]) -> Any:
        values = [item for item in said.items() if item[1] is not None]
        if not values:
            return None
        (first, value), *others = values
        for name, other in others:
            if other != value:
                error = self.error(
                    first,
                    f"found {brief(value)}, but {name!r}, another spelling of it, is"
                    f" {brief(other)}",
                    _DISPUTED,
                )
                found = Dispute(", ".join(dict(values)), tuple(dict(values).values()))
                self.complaints.forgive(error, found)
                return None
        return value
