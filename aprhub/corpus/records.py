"""Records: the objects of a file with one JSON text a line."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from aprhub.corpus.passages import decoded
from aprhub.errors import CorruptFileError

_MEND: Final = "correct it there, or leave the line out"

_LONGEST: Final = 64 << 20
"""The most bytes in a line: it is read whole."""


@frozen
class Record:
    """An object of a file, and the line where it stands."""

    file: Path
    line: int
    values: Mapping[str, Any] = field(repr=False)

    def fault(self, what: str, repair: str = _MEND) -> CorruptFileError:
        """Return the error that says what is wrong with this record."""
        where = f"line {self.line}"
        return CorruptFileError(self.file, what, where=where, repair=repair)


def records(file: Path) -> Iterator[Record]:
    """Yield the records of a file; lines without one are skipped.

    Raises CorruptFileError for a line that is not UTF-8, no JSON or no object.
    """
    position, number = 0, 0
    with file.open("rb") as source:
        while line := source.readline(_LONGEST + 1):
            number += 1
            record = Record(file, number, {})
            if len(line) > _LONGEST:
                raise record.fault(f"longer than {_LONGEST} bytes", "cut it")
            text = decoded(file, line, position)
            position += len(line)
            if text.strip():
                yield Record(file, number, _object(record, text))


def text_of(record: Record, key: str, repair: str = _MEND) -> str:
    """Return the text under a key; raises CorruptFileError where there is none."""
    if key not in record.values:
        listed = ", ".join(record.values) or "none"
        raise record.fault(f"no key {key!r} (there are: {listed:.80})", repair)
    text = record.values[key]
    if not isinstance(text, str):
        raise record.fault(f"{key!r} is {text!r:.40}, a text was expected")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        what = f"{key!r} has half of a surrogate pair, no character"
        raise record.fault(what, "write it as UTF-8") from error
    return text


def _object(record: Record, text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        what = f"no JSON: {error.msg} in column {error.colno}"
        raise record.fault(what) from error
    # Numbers of too many digits, and brackets within brackets without end.
    except (ValueError, RecursionError) as error:
        raise record.fault(f"no JSON that can be read: {error}") from error
    if not isinstance(found, dict):
        raise record.fault(f"{text.strip():.40} is no JSON object")
    return found
