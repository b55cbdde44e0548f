"""JSON objects from files that nobody vouches for: strict, with typed access."""

import json
import math
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from attrs import evolve, field, frozen

from aprhub.errors import CorruptFileError
from aprhub.spec.health import (
    Complaints,
    Dispute,
    meant_number,
    mistyped,
    respelled,
)

MAX_WHOLE = (1 << 53) - 1
"""The largest whole number that every JSON reader understands."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        again = next(key for key in counts if counts[key] > 1)
        raise ValueError(f"the key {shown(again)} is there twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates)


def _forgiving(complaints: Complaints) -> json.JSONDecoder:
    """Return what decodes a key that is there twice, and complains of it.

    Of two values there is none then.
    """

    def paired(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key not in found:
                found[key] = value
            elif found[key] == value:
                complaints.findings.append(respelled((key, key), key, shown(value)))
            else:
                complaints.disputes.append(Dispute(key, (found[key], value)))
                found[key] = None
        return found

    return json.JSONDecoder(object_pairs_hook=paired)


def decoded_json(text: str, decoder: json.JSONDecoder = _DECODER) -> Any:
    """Return the value of a JSON text; raises ValueError when it has none.

    Duplicate keys and nesting beyond the interpreter's limit are refused. `NaN` and
    `Infinity` are read as floats, since real configurations have them.
    """
    if text.startswith("\ufeff"):
        raise ValueError("it starts with a byte order mark")
    try:
        return decoder.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def shown(value: object) -> str:
    """Return a value as text that fits into a message."""
    return _BRIEF.repr(value)


_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 120


@frozen
class Document:
    """A JSON object of a file; `prefix` is where in the file it stands.

    The methods return the value of a key, None where it is absent or null, and raise
    CorruptFileError where it is of another kind.
    """

    path: Path
    values: Mapping[str, Any] = field(repr=False)
    prefix: str = ""
    complaints: Complaints = field(factory=Complaints, eq=False, repr=False)

    @classmethod
    def parse(
        cls,
        path: Path,
        text: str,
        prefix: str = "",
        complaints: Complaints | None = None,
    ) -> Self:
        """Return the object that a text holds."""
        where = prefix.rstrip(" :.")
        said = complaints or Complaints()
        try:
            values = decoded_json(text, _forgiving(said) if said.lenient else _DECODER)
        except json.JSONDecodeError as error:
            offset = len(text[: error.pos].encode("utf-8", "replace"))
            raise _corrupt(path, f"not JSON: {error.msg}", where, offset) from error
        except ValueError as error:
            raise _corrupt(path, f"not JSON: {error}", where) from error
        if not isinstance(values, dict):
            what = f"found {shown(values)}, expected a JSON object"
            raise _corrupt(path, what, where)
        return cls(path, values, prefix, said)

    def __contains__(self, key: str) -> bool:
        """Return whether the key is there, null or not."""
        return key in self.values

    def fault(self, key: str, expected: str) -> CorruptFileError:
        """Return the error for a value that is not what it should be."""
        what = f"found {shown(self.values.get(key))}, expected {expected}"
        return _corrupt(self.path, what, self.prefix + key)

    def whole(self, key: str, limit: int = MAX_WHOLE) -> int | None:
        """Return a whole number from 0 to `limit`."""
        value = self.values.get(key)
        if value is None:
            return None
        if type(value) is int and 0 <= value <= limit:
            return value
        error = self.fault(key, f"a whole number from 0 to {limit}")
        meant = meant_number(value)
        if type(meant) is not int or not 0 <= meant <= limit:
            raise error
        self.complaints.forgive(error, mistyped(key, shown(value), meant))
        return meant

    def number(self, key: str) -> float | None:
        """Return a finite number that is not negative."""
        value = self.values.get(key)
        if value is None:
            return None
        if not _is_amount(value):
            raise self.fault(key, "a number from 0 up")
        return float(value)

    def flag(self, key: str) -> bool | None:
        """Return true or false."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.fault(key, "true or false")
        return value

    def text(self, key: str) -> str | None:
        """Return a string."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self.fault(key, "a string")
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Return a list of strings."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
            raise self.fault(key, "a list of strings")
        return tuple(value)

    def numbers(self, key: str) -> tuple[float, ...] | None:
        """Return a list of finite numbers that are not negative."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(map(_is_amount, value)):
            raise self.fault(key, "a list of numbers from 0 up")
        return tuple(map(float, value))

    def section(self, key: str) -> "Document | None":
        """Return an object inside this one."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.fault(key, "an object")
        return evolve(self, values=value, prefix=f"{self.prefix}{key}.")

    def sections(self, key: str) -> "Iterator[Document]":
        """Yield the objects of a list; none where the key is absent."""
        value = self.values.get(key) or ()
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise self.fault(key, "a list of objects")
        for place, each in enumerate(value):
            if not isinstance(each, dict):
                raise self.fault(key, "a list of objects")
            yield Document(self.path, each, f"{self.prefix}{key}.{place}.")

    def mapping(self, key: str) -> dict[str, str]:
        """Return an object whose values are all strings; empty where absent."""
        section = self.section(key)
        if section is None:
            return {}
        for each in section.values:
            if section.text(each) is None:
                raise section.fault(each, "a string")
        return dict(section.values)


def _corrupt(
    path: Path, what: str, where: str, offset: int | None = None
) -> CorruptFileError:
    """Return the error for a place; a file of its own can be corrected by hand."""
    if path.suffix != ".json":
        return CorruptFileError(path, what, where=where, offset=offset)
    repair = "correct it there, or get the file again"
    return CorruptFileError(path, what, where=where, offset=offset, repair=repair)


def _is_amount(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= MAX_WHOLE if isinstance(value, int) else 0 <= value < math.inf
