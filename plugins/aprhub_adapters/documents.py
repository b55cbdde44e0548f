"""JSON files beside an adapter, read strictly and with typed access."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from aprhub.api import CorruptFileError, EnvironmentFailureError, UnsupportedFileError

LARGEST: Final = 16 << 20
"""The most bytes of a file that is read."""


@frozen
class Document:
    """A JSON object of a file.

    The methods return the value of a key, None where it is absent or null, and raise
    CorruptFileError where it is of another kind.
    """

    path: Path
    values: Mapping[str, Any] = field(factory=dict, repr=False)

    def number(self, key: str) -> float | None:
        """Return a finite number."""
        value = self.values.get(key)
        if value is None:
            return None
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or not math.isfinite(value):
            raise self.wrong(key, "a number")
        return float(value)

    def flag(self, key: str) -> bool:
        """Return true or false; absent means false."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return bool(value)

    def text(self, key: str) -> str | None:
        """Return a string."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def numbers(self, key: str) -> dict[str, float]:
        """Return an object of numbers; empty where it is absent."""
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(key, "an object of numbers")
        inner = Document(self.path, value)
        found = {each: inner.number(each) for each in value}
        return {each: number for each, number in found.items() if number is not None}

    def wrong(self, key: str, expected: str) -> CorruptFileError:
        """Return the error for a value that is not what it should be."""
        what = f"found {self.values.get(key)!r:.80}, expected {expected}"
        return CorruptFileError(self.path, what, where=key)


def read(path: Path) -> Document | None:
    """Return the object that a file holds, or None when there is no such file."""
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > LARGEST:
            what = f"has {path.stat().st_size} bytes; more than {LARGEST} are not read"
            raise UnsupportedFileError(path, what)
        values = _DECODER.decode(path.read_text("utf-8"))
    except OSError as error:
        what = f"{path}: cannot be read: {error.strerror}"
        raise EnvironmentFailureError(what) from error
    except RecursionError:
        raise CorruptFileError(path, "nested too deeply") from None
    except ValueError as error:
        raise CorruptFileError(path, f"not JSON: {error}") from error
    if not isinstance(values, dict):
        raise CorruptFileError(path, "expected a JSON object")
    return Document(path, values)


def written(values: Mapping[str, Any]) -> str:
    """Return the text of a file with an object."""
    return json.dumps(values, indent=2) + "\n"


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r:.80} is there twice")
        found[key] = value
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates)
