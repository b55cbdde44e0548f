"""Ledger: which metadata of a file has been understood, and what became of it."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from aprhub.api import (
    Complaints,
    CorruptFileError,
    KeyFate,
    meant_number,
    mistyped,
)
from aprhub_gguf.tables import FLOATS, INTEGERS
from aprhub_gguf.values import Entry, FileText, to_json

ANEW: Final = "write the file anew with what made it"
BY_DOCTOR: Final = "repair it with 'aprhub doctor --fix -o OUT'"
"""What to do about a key of which the file itself says how it should be."""


class Ledger:
    """The metadata of a file while it is being understood.

    Each method that returns a value consumes its key and records where it went; what
    nobody consumes is carried. A value of a wrong kind raises CorruptFileError with
    its key; another width of the right kind is accepted with a note.
    """

    def __init__(
        self,
        path: Path,
        entries: Mapping[str, Entry],
        complaints: Complaints | None = None,
    ) -> None:
        self.path = path
        self.complaints = complaints or Complaints()
        self.entries = entries
        self.notes: list[str] = []
        self._fates: dict[str, KeyFate] = {}
        self._carried: dict[str, dict[str, Any]] = {}

    def keys(self) -> Iterator[str]:
        """Yield the keys that were not consumed yet."""
        return (key for key in self.entries if key not in self._fates)

    def kind(self, key: str) -> str | None:
        """Return the type of an entry, or None when there is none; consume nothing."""
        entry = self.entries.get(key)
        return None if entry is None else entry.kind

    def integer(self, key: str, into: str) -> int | None:
        """Consume a whole number that is not negative."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        if entry.kind not in INTEGERS or entry.value < 0:
            return self._meant(key, "a whole number from 0 on")
        self._note_width(key, entry, "u32")
        self.settle(key, "renamed", into)
        return int(entry.value)

    def number(self, key: str, into: str) -> float | None:
        """Consume a finite number that is not negative."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        known = entry.kind in (*FLOATS, *INTEGERS)
        if not known or not 0 <= entry.value < math.inf:
            raise self.wrong(key, "a finite number from 0 on")
        self._note_width(key, entry, "f32")
        self.settle(key, "renamed", into)
        return float(entry.value)

    def flag(self, key: str, into: str) -> bool | None:
        """Consume a bool."""
        value = self._of_kind(key, "bool", into)
        return None if value is None else bool(value)

    def text(self, key: str, into: str) -> str | None:
        """Consume a string."""
        value = self._of_kind(key, "string", into)
        return None if value is None else str(value)

    def long_text(self, key: str, into: str) -> str | Callable[[], bytes] | None:
        """Consume a string; one that stays in the file is given as what reads it."""
        value = self._of_kind(key, "string", into)
        return value.raw if isinstance(value, FileText) else value

    def array(self, key: str, into: str, *kinds: str) -> Entry | None:
        """Consume an array of one of the kinds."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        if entry.of not in kinds:
            raise self.wrong(key, f"an array of {' or '.join(kinds)}")
        self._note_width(key, Entry(entry.of, None), kinds[0])
        self.settle(key, "renamed", into)
        return entry

    def texts(self, key: str, into: str) -> list[str] | None:
        """Consume an array of strings, and read it."""
        entry = self.array(key, into, "string")
        return None if entry is None else list(entry.value)

    def json(self, key: str, into: str) -> Any:
        """Consume a string that holds JSON; None when there is none."""
        text = self.text(key, into)
        return None if text is None else self._parsed(key, text)

    def settle(self, key: str, fate: str, into: str = "", why: str = "") -> None:
        """Consume a key and say what became of it."""
        self._fates[key] = KeyFate(key, fate, into, why)

    def carry(self, key: str, why: str = "", **remarks: Any) -> None:
        """Carry an entry as it is, with remarks for whoever writes it back."""
        self._carried[key] = {**to_json(self.entries[key]), **remarks}
        self.settle(key, "carried", f"carried.gguf.{key}", why)

    def carry_noted(self, key: str, why: str) -> None:
        """Carry an entry that means nothing here, and say so to the reader."""
        self.notes.append(f"{key}: {why}; kept as it is")
        self.carry(key, why)

    def rest(self) -> dict[str, dict[str, Any]]:
        """Carry everything that is left; return all that is carried."""
        for key in list(self.keys()):
            self.carry(key)
        return {key: self._carried[key] for key in self.entries if key in self._carried}

    def fates(self) -> tuple[KeyFate, ...]:
        """Return what became of each key, in the order of the file."""
        return tuple(self._fates[key] for key in self.entries if key in self._fates)

    def wrong(self, key: str, expected: str, repair: str = ANEW) -> CorruptFileError:
        """Return the error for an entry that is not what was expected."""
        entry = self.entries[key]
        found = f"{entry.kind} {entry.value!r:.80}"
        if entry.kind == "array":
            found = f"array of {len(entry.value)} {entry.of}"
        what = f"found {found}, expected {expected}"
        return CorruptFileError(self.path, what, where=key, repair=repair)

    def missing(self, key: str, what: str, repair: str = ANEW) -> CorruptFileError:
        """Return the error for a key that is not there, though something needs it."""
        said = f"the key is missing, {what} needs it"
        return CorruptFileError(self.path, said, where=key, repair=repair)

    def _of_kind(self, key: str, kind: str, into: str) -> Any:
        entry = self.entries.get(key)
        if entry is None:
            return None
        if entry.kind != kind:
            raise self.wrong(key, f"a {kind}")
        self.settle(key, "renamed", into)
        return entry.value

    def _meant(self, key: str, expected: str) -> int:
        """Return the whole number that a value of another kind stands for."""
        value = meant_number(self.entries[key].value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.wrong(key, expected)
        found = f"{self.entries[key].value!r:.40}"
        error = self.wrong(key, expected, BY_DOCTOR)
        self.complaints.forgive(error, mistyped(key, found, value))
        self.settle(key, "transformed")
        return value

    def _note_width(self, key: str, entry: Entry, usual: str) -> None:
        if entry.kind != usual:
            self.notes.append(f"{key}: stored as {entry.kind}, usually {usual}")

    def _parsed(self, key: str, text: str) -> Any:
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise CorruptFileError(
                self.path, f"not JSON: {error}", where=key
            ) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")
