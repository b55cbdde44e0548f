"""Metadata values with their GGUF types; large arrays stay in the file until used."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.api import CorruptFileError, FileRange, Texts, UnrepresentableError
from aprhub_gguf.strings import (
    Lengths,
    are_lengths,
    begins_of,
    string_lengths,
)
from aprhub_gguf.tables import FLOATS, VALUE_TYPE_NAMES

EAGER_BYTES = 1 << 20
"""Longer texts stay in the file, and so do longer arrays when they are carried."""

_LARGEST_F32 = float(np.finfo(np.float32).max)
_NOT_FINITE = ("nan", "inf", "-inf")


@frozen(eq=False)
class FileArray(Sequence[Any]):
    """The values of an array in a file, read when the first of them is asked for.

    `kind` names the type of one value; of strings, `lengths` are those that were found
    when the file was opened, if anybody looked. Equal to any sequence of equal values.
    """

    place: FileRange
    kind: str
    length: int
    where: str = field(repr=False)
    lengths: NDArray[Any] | None = field(default=None, repr=False)

    def raw(self) -> bytes:
        """Return the bytes as they are in the file."""
        return self.place.read()

    def numpy(self) -> NDArray[Any]:
        """Return the values of an array of numbers."""
        return np.frombuffer(self.raw(), f"<{_dtype(self.kind)}")

    @property
    def _values(self) -> Sequence[Any]:
        return self._column if self.kind == "string" else self._numbers

    @cached_property
    def _numbers(self) -> list[Any]:
        values = self.numpy()
        return list((values != 0 if self.kind == "bool" else values).tolist())

    def column(self) -> Texts:
        """Return all strings; raises CorruptFileError where they are gone."""
        return self._column

    @cached_property
    def _column(self) -> Texts:
        data, lengths = self._measured()
        begins = begins_of(lengths)
        texts = Texts.cut(data, begins, begins + lengths)
        if not texts.is_valid:
            raise self._changed()
        return texts

    def _measured(self) -> tuple[bytes, Lengths]:
        """Return the bytes of all strings, and how long each is."""
        data = self.raw()
        lengths = (
            string_lengths(data, self.length)
            if self.lengths is None
            else self.lengths.astype(np.int64)
        )
        if len(lengths) != self.length or not are_lengths(data, lengths):
            raise self._changed()
        return data, lengths

    def _changed(self) -> CorruptFileError:
        return _changed(self.place, self.where)

    def __len__(self) -> int:
        """Return how many values there are."""
        return self.length

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        """Return one value or several."""
        found = self._values[index]
        return list(found) if isinstance(found, Texts) else found

    def __iter__(self) -> Iterator[Any]:
        """Return an iterator over the values."""
        return iter(self._values)

    def __eq__(self, other: object) -> bool:
        """Compare with any sequence, value by value."""
        if isinstance(other, str) or not isinstance(other, Sequence):
            return NotImplemented
        if len(self) != len(other):
            return False
        if isinstance(other, FileArray):
            return self._values == other._values
        return self._values == list(other)


@frozen(eq=False, repr=False)
class FileText:
    """A long string in a file, read whenever it is asked for; equal to its text."""

    place: FileRange
    where: str

    def raw(self) -> bytes:
        """Return the bytes as they are in the file."""
        return self.place.read()

    def __str__(self) -> str:
        """Return the text; raises CorruptFileError where that is gone."""
        try:
            return self.raw().decode()
        except UnicodeDecodeError as error:
            raise _changed(self.place, self.where) from error

    def __repr__(self) -> str:
        """Return the text as a string is shown."""
        return repr(str(self))

    def __eq__(self, other: object) -> bool:
        """Compare with another text."""
        if isinstance(other, FileText):
            return self.raw() == other.raw()
        return isinstance(other, str) and str(self) == other

    def __hash__(self) -> int:
        """Return the hash of the text."""
        return hash(str(self))


def _changed(place: FileRange, where: str) -> CorruptFileError:
    what, repair = "the file was changed after it had been opened", "start again"
    return CorruptFileError(place.path, what, where=where, repair=repair)


def _dtype(kind: str) -> str:
    return np.dtype(VALUE_TYPE_NAMES[kind].code).str[1:]


@frozen
class Entry:
    """One metadata value.

    `kind` names its type, and `of` that of the elements of an array. A string is a
    `str`, and a long one a FileText or its bytes. An f32 is kept
    as the shortest decimal that is rounded to it.
    """

    kind: str
    value: Any
    of: str | None = None

    @property
    def described(self) -> str:
        """The type in words, for messages."""
        return f"array of {self.of}" if self.kind == "array" else self.kind


def shortest(value: float) -> float:
    """Return the shortest decimal that is rounded to the same f32."""
    return float(str(np.float32(value)))


def u32_entry(key: str, value: int) -> Entry:
    """Return a size; raise UnrepresentableError when it is too large or negative."""
    if not _in_range("u32", value):
        what = f"{value} does not fit into a u32; correct it in the source"
        raise UnrepresentableError(key, what)
    return Entry("u32", value)


def f32_entry(key: str, value: float) -> Entry:
    """Return a number rounded to f32; raise UnrepresentableError if it is infinite."""
    if not abs(value) <= _LARGEST_F32:
        what = f"{value} does not fit into an f32; correct it in the source"
        raise UnrepresentableError(key, what)
    return Entry("f32", shortest(value))


def to_json(entry: Entry) -> dict[str, Any]:
    """Return a value and its type as JSON-like data.

    Arrays of more than EAGER_BYTES stay FileArrays; numbers that JSON lacks are text.
    """
    value = entry.value
    if isinstance(value, bytes | FileText):
        value = value.decode() if isinstance(value, bytes) else str(value)
    if entry.kind != "array":
        return {"type": entry.kind, "value": _number_or_text(entry.kind, value)}
    if isinstance(value, FileArray) and value.place.nbytes <= EAGER_BYTES:
        value = list(value)
    if entry.of in FLOATS and isinstance(value, list):
        value = [_number_or_text(entry.of, each) for each in value]
    return {"type": "array", "of": entry.of, "value": value}


def _number_or_text(kind: str | None, value: Any) -> Any:
    if kind in FLOATS and not math.isfinite(value):
        return str(float(value))
    return value


def from_json(key: str, data: Any) -> Entry:
    """Return the entry that `to_json` described.

    Raises UnrepresentableError, with the key, for anything else.
    """
    if not isinstance(data, Mapping) or data.get("type") not in VALUE_TYPE_NAMES:
        what = f"{data!r:.80} is no GGUF value; give an object of type and value"
        raise UnrepresentableError(key, what)
    kind, value = data["type"], data.get("value")
    if kind != "array":
        _require(key, kind, [value])
        return Entry(kind, _finite_or_not(kind, value))
    of = str(data.get("of"))
    if of not in VALUE_TYPE_NAMES or of == "array":
        what = f"GGUF has no arrays of {of!r:.40}; name another of its types"
        raise UnrepresentableError(key, what)
    if isinstance(value, FileArray):
        return Entry(kind, value, of)
    if isinstance(value, str) or not isinstance(value, Sequence):
        what = f"{value!r:.80} is not a list; give one, such as [1, 2]"
        raise UnrepresentableError(key, what)
    _require(key, of, value)
    return Entry(kind, [_finite_or_not(of, each) for each in value], of)


def _finite_or_not(kind: str, value: Any) -> Any:
    return float(value) if kind in FLOATS else value


def _require(key: str, kind: str, values: Sequence[Any]) -> None:
    """Raise UnrepresentableError for the first value that is of another kind."""
    for value in values:
        if not _fits(kind, value):
            what = f"{value!r:.80} is not of type {kind}; give one that is"
            raise UnrepresentableError(key, what)


def _fits(kind: str, value: Any) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    if kind in FLOATS:
        return isinstance(value, int | float) or value in _NOT_FINITE
    return isinstance(value, int) and _in_range(kind, value)


def _in_range(kind: str, value: int) -> bool:
    limits = np.iinfo(_dtype(kind))
    return int(limits.min) <= value <= int(limits.max)
