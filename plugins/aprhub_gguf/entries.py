"""Reads and writes the metadata section: a key, a type and a value at a time."""

import struct
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from aprhub.api import (
    Complaints,
    CorruptFileError,
    Dispute,
    Literal,
    Texts,
    UnrepresentableError,
    respelled,
)
from aprhub_gguf.cursor import Cursor
from aprhub_gguf.ledger import ANEW
from aprhub_gguf.strings import LENGTH_BYTES
from aprhub_gguf.tables import (
    ARRAY_COUNT,
    CONTROL_CHARACTERS,
    KEY_BYTES,
    STRING_BYTES,
    STRING_COUNT,
    VALUE_TYPE_NAMES,
    VALUE_TYPES,
    ValueType,
)
from aprhub_gguf.values import EAGER_BYTES, Entry, FileArray, FileText, shortest

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_SMALLEST = 14
"""Bytes of the smallest entry: a key of one letter with a value of one byte."""

_DISPUTED: Final = "see which one 'aprhub doctor' takes for right"


def read_entries(
    cursor: Cursor, count: int, complaints: Complaints
) -> dict[str, Entry]:
    """Read `count` entries; of a key with two values, neither when that is forgiven.

    Raises CorruptFileError for a key that is empty or there twice, for types that do
    not exist, and where the file ends first.
    """
    if count > cursor.left // _SMALLEST:
        raise CorruptFileError(
            cursor.path,
            f"{count} entries cannot be in the {cursor.left} bytes that follow",
            where="metadata count",
        )
    entries: dict[str, Entry] = {}
    for index in range(count):
        offset = cursor.position
        key = cursor.string(f"metadata key {index}", KEY_BYTES)
        problem = _key_problem(key, entries)
        if problem:
            error = CorruptFileError(
                cursor.path,
                problem,
                where=f"metadata key {index}",
                offset=offset,
                repair=_DISPUTED if key in entries else ANEW,
            )
            if not (key in entries and complaints.lenient):
                raise error
            _read_again(cursor, key, entries, complaints)
            continue
        entries[key] = _read_value(cursor, key)
    return entries


def _read_again(
    cursor: Cursor, key: str, entries: dict[str, Entry], complaints: Complaints
) -> None:
    """Read a key that has a value already, which counts if it is the same."""
    first, second = entries[key].value, _read_value(cursor, key).value
    if first == second:
        complaints.findings.append(respelled((key, key), key, f"{first!r:.40}"))
        return
    complaints.disputes.append(Dispute(key, (first, second)))
    del entries[key]


def _key_problem(key: str, before: Container[str]) -> str:
    if not key:
        return "the key is empty"
    if CONTROL_CHARACTERS.search(key):
        return f"{key!r:.80} has control characters"
    return f"{key!r:.80} is there twice" if key in before else ""


def _read_value(cursor: Cursor, key: str) -> Entry:
    kind = _read_type(cursor, key)
    if kind.name == "array":
        return _read_array(cursor, key)
    if kind.name == "string":
        length = cursor.string_length(key)
        if length > EAGER_BYTES:
            return Entry("string", FileText(cursor.skip_text(length, key), key))
        return Entry("string", cursor.text(length, key))
    return Entry(kind.name, _read_scalar(cursor, kind, key))


def _read_type(cursor: Cursor, key: str) -> ValueType:
    offset = cursor.position
    number = cursor.unpack(_U32, f"type of {key}")
    if number not in VALUE_TYPES:
        raise CorruptFileError(
            cursor.path,
            f"there is no type {number}; types go from 0 to {max(VALUE_TYPES)}",
            where=f"type of {key}",
            offset=offset,
        )
    return VALUE_TYPES[number]


def _read_scalar(cursor: Cursor, kind: ValueType, key: str) -> Any:
    offset = cursor.position
    value = cursor.unpack(struct.Struct(f"<{kind.code}"), key)
    if kind.name == "f32":
        return shortest(value)
    if kind.name != "bool":
        return value
    if value > 1:
        what = f"{value} is neither false (0) nor true (1)"
        raise CorruptFileError(cursor.path, what, where=key, offset=offset)
    return bool(value)


def _read_array(cursor: Cursor, key: str) -> Entry:
    offset = cursor.position
    kind = _read_type(cursor, key)
    count = cursor.unpack(_U64, f"length of {key}")
    if kind.name == "array" or count > ARRAY_COUNT:
        found = "an array of arrays" if kind.name == "array" else f"{count} elements"
        what = f"found {found}, expected up to {ARRAY_COUNT} values that are no arrays"
        raise CorruptFileError(cursor.path, what, where=key, offset=offset)
    lengths = None
    if kind.name == "string":
        place, lengths = cursor.skip_strings(count, key)
    else:
        place = cursor.skip(count * kind.nbytes, key)
    return Entry("array", FileArray(place, kind.name, count, key, lengths), kind.name)


def encoded_entries(entries: Mapping[str, Entry]) -> list[Literal]:
    """Return the metadata section, in parts: what is long is spelled out when written.

    Raises UnrepresentableError, with the key, for what its type cannot hold.
    """
    parts: list[Literal] = []
    for key, entry in entries.items():
        problem = _key_problem(key, ())
        if problem:
            raise UnrepresentableError("metadata", f"{problem}; rename the key")
        name = _encoded_string(key, key, KEY_BYTES)
        try:
            value = _ENCODERS.get(entry.kind, _encoded_scalar)(key, entry)
        except (struct.error, OverflowError) as error:
            raise UnrepresentableError(
                key,
                f"{entry.value!r:.80} is not a {entry.described}: {error}; correct it"
                " in the source",
            ) from error
        kind = _U32.pack(VALUE_TYPE_NAMES[entry.kind].id)
        parts += (Literal(name + kind), *value)
    return parts


def _encoded_scalar(_key: str, entry: Entry) -> tuple[Literal]:
    code = VALUE_TYPE_NAMES[entry.kind].code
    return (Literal(struct.pack(f"<{code}", entry.value)),)


def _encoded_text(key: str, entry: Entry) -> tuple[Literal, Literal]:
    value = entry.value
    if isinstance(value, FileText):
        return _long_text(key, value.raw, value.place.nbytes)
    if isinstance(value, bytes):
        return _long_text(key, value, len(value))
    return _long_text(key, value.encode, len(_utf8(key, value)))


def _long_text(
    key: str, text: bytes | Callable[[], bytes], nbytes: int
) -> tuple[Literal, Literal]:
    _require_length(key, nbytes, STRING_BYTES)
    return Literal(_U64.pack(nbytes)), Literal(text, nbytes)


def _encoded_array(key: str, entry: Entry) -> tuple[Literal, Literal]:
    kind = VALUE_TYPE_NAMES[entry.of or ""]
    head = _U32.pack(kind.id) + _U64.pack(len(entry.value))
    return Literal(head), _encoded_elements(key, kind, entry.value)


def _encoded_elements(key: str, kind: ValueType, values: Any) -> Literal:
    if isinstance(values, FileArray):
        return Literal(values.raw())
    if kind.name == "string":
        return _encoded_strings(key, values)
    if isinstance(values, np.ndarray):
        return Literal(values.astype(f"<{kind.code}", casting="safe").tobytes())
    return Literal(struct.pack(f"<{len(values)}{kind.code}", *values))


def _encoded_strings(key: str, values: Sequence[str]) -> Literal:
    texts = values if isinstance(values, Texts) else _column(key, values)
    nbytes = LENGTH_BYTES * len(texts) + len(texts.data)
    if len(values) > STRING_COUNT or nbytes > STRING_BYTES:
        raise UnrepresentableError(
            key[:80],
            f"{len(values)} strings of {nbytes} bytes, a reader takes"
            f" {STRING_COUNT} of {STRING_BYTES} at most; write a Hugging Face folder"
            " instead",
        )
    return Literal(partial(_with_lengths, texts), nbytes)


def _column(key: str, values: Sequence[str]) -> Texts:
    _utf8(key, "".join(values))
    return Texts.of(values)


def _with_lengths(texts: Texts) -> bytes:
    spread, begins = texts.spread(LENGTH_BYTES, 0)
    lengths = texts.lengths.astype("<u8").view(np.uint8).reshape(-1, LENGTH_BYTES)
    for place in range(LENGTH_BYTES):
        spread[begins - LENGTH_BYTES + place] = lengths[:, place]
    return spread.tobytes()


def _encoded_string(key: str, text: str, limit: int) -> bytes:
    data = _utf8(key, text)
    _require_length(key, len(data), limit)
    return _U64.pack(len(data)) + data


def _require_length(key: str, nbytes: int, limit: int) -> None:
    if nbytes > limit:
        raise UnrepresentableError(
            key[:80],
            f"{nbytes} bytes of text, a reader takes {limit} at most; write a"
            " Hugging Face folder instead",
        )


def _utf8(key: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        odd = ascii(error.object[error.start])
        what = f"not text: {odd}, {error.reason}; correct it in the source"
        raise UnrepresentableError(key[:80], what) from error


_ENCODERS: Final[Mapping[str, Callable[[str, Entry], tuple[Literal, ...]]]] = {
    "string": _encoded_text,
    "array": _encoded_array,
}
