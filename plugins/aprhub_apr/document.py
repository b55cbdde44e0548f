"""The metadata as a JSON document, read strictly and written compactly.

Strictly means: one object in UTF-8, no NaN or infinity, no half of a surrogate pair,
and no key twice with two values. Some readers keep the last of two values and others
refuse the file, so a file with both has no one meaning.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import orjson
from attrs import field, frozen

from aprhub.api import (
    Complaints,
    CorruptFileError,
    Dispute,
    Texts,
    UnrepresentableError,
    decoded_json,
    parsed_with_columns,
    respelled,
    shown,
)
from aprhub_apr.tables import BULKY_KEYS

_WHERE: Final = "metadata"


@frozen
class Document:
    """A JSON object, and what was odd about its text."""

    keys: dict[str, Any]
    notes: tuple[str, ...] = ()


@frozen
class _Reader:
    """Reads one text of one file; `offset` is where it starts."""

    path: Path
    offset: int | None
    where: str
    complaints: Complaints
    notes: list[str] = field(factory=list)

    def error(self, what: str) -> CorruptFileError:
        return CorruptFileError(self.path, what, where=self.where, offset=self.offset)

    def constant(self, text: str) -> NoReturn:
        raise self.error(f"found {text}, for which JSON has no word")

    def unique(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object; a key may come twice if all but one value are null."""
        found = dict(pairs)
        return found if len(found) == len(pairs) else self._merged(pairs)

    def _merged(self, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                self.notes.append(f"key {key!r} is repeated in the metadata")
                value = self._settled(key, found[key], value)
            found[key] = value
        return found

    def _settled(self, key: str, first: Any, second: Any) -> Any:
        """Return the one value of a repeated key, None where there is not one."""
        same = first == second and type(first) is type(second)
        if not (same or first is None or second is None):
            error = CorruptFileError(
                self.path,
                f"key {key!r:.80} is there with two values, {brief(first)} and"
                f" {brief(second)}",
                where=self.where,
                offset=self.offset,
                repair="see which one 'aprhub doctor' takes for right",
            )
            self.complaints.forgive(error, Dispute(key, (first, second)))
            return None
        value = second if first is None else first
        self.complaints.note(respelled((key, key), key, brief(value)))
        return value


def parsed(
    path: Path,
    data: bytes | str,
    offset: int | None = None,
    where: str = _WHERE,
    complaints: Complaints | None = None,
) -> Document:
    """Return the JSON object in `data`, which stands at byte `offset` of a file.

    Raises CorruptFileError for anything else.
    """
    reader = _Reader(path, offset, where, complaints or Complaints())
    try:
        text = data if isinstance(data, str) else data.decode()
        value = json.loads(
            text, parse_constant=reader.constant, object_pairs_hook=reader.unique
        )
    except UnicodeDecodeError as error:
        raise reader.error(f"not UTF-8 at its byte {error.start}") from error
    except RecursionError as error:
        raise reader.error("nested too deeply") from error
    except ValueError as error:
        raise reader.error(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise reader.error(f"found {shown(value)}, expected a JSON object")
    _check_values(reader, value)
    return Document(value, tuple(reader.notes))


def with_columns(
    path: Path,
    data: bytes,
    offset: int,
    complaints: Complaints,
    columns: Collection[str],
) -> Document:
    """Return the same as `parsed`, with Texts under the keys `columns` at best.

    Whatever is odd is left to `parsed`, which forgives it or says what it is.
    """
    keys = parsed_with_columns(data, columns, _plainly)
    if keys is not None:
        with suppress(UnrepresentableError):
            rendered({key: keys[key] for key in keys.keys() - BULKY_KEYS})
            return Document(keys)
    return parsed(path, data, offset, complaints=complaints)


def _plainly(data: bytes) -> Any:
    """Return what JSON says; raises ValueError for anything odd, or what looks so."""
    if b"NaN" in data or b"Infinity" in data:
        raise ValueError("a number may be none")
    return decoded_json(data.decode())


def _check_values(reader: _Reader, keys: Mapping[str, Any]) -> None:
    """Refuse what Python's parser accepts and JSON has no way to write again."""
    for key in sorted(keys.keys() - BULKY_KEYS):
        try:
            rendered({key: keys[key]})
        except UnrepresentableError as error:
            what = f"key {key!r:.80} has an infinite number, or half of a character"
            raise reader.error(what) from error


def rendered(keys: Mapping[str, Any]) -> bytes:
    """Return an object as compact JSON in UTF-8.

    Raises UnrepresentableError for what JSON has no word for, such as NaN.
    """
    try:
        members = (b"%b:%b" % (_text(key), _text(keys[key])) for key in keys)
        return b"{%b}" % b",".join(members)
    except (TypeError, ValueError, RecursionError) as error:
        what = f"not possible as JSON: {error}; correct that value in the source"
        raise UnrepresentableError(_WHERE, what) from error


def _text(value: Any) -> bytes:
    if isinstance(value, Texts):
        return value.as_json()
    if type(value) is list and set(map(type, value)) in ({str}, {int}):
        with suppress(TypeError):  # it knows no numbers of more than 64 bits
            return orjson.dumps(value)  # the same bytes, in a sixth of the time
    text = json.dumps(
        value,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
        default=_plain,
    )
    return text.encode()


def _plain(value: Any) -> Any:
    """Return mappings, sequences and arrays of any class as JSON's own."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} values have no form in JSON")


def brief(value: Any, limit: int = 60) -> str:
    """Return a value as one short line of JSON for a message."""
    text = json.dumps(value, default=_plain)
    return text if len(text) <= limit else f"{text[:limit]}…"
