"""The fields of a message in the wire format of protocol buffers.

A message is a row of fields, each a key and a value. A key is a varint: the number of
the field and, in its lowest three bits, how the value is laid out:

    0  a varint: 7 bits a byte, the lowest first, the high bit set on all but the last
    1  eight bytes
    2  a varint of the length, then so many bytes
    5  four bytes
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from attrs import frozen

from aprhub.errors import CorruptFileError

Value = int | memoryview

_VARINT_BYTES: Final = 10


@frozen
class Message:
    """A message in a file; `start` is the byte at which it begins there."""

    file: str
    data: memoryview
    start: int = 0

    def fields(self) -> dict[int, Value]:
        """Return the values by the number of the field; the last one counts.

        Raises CorruptFileError where the bytes end inside a field or have a layout
        that is not known.
        """
        return {number: value for number, _, value in self._entries()}

    def messages(self) -> Iterator[tuple[int, "Message"]]:
        """Yield the number of each field that has bytes, and these as a message."""
        for number, end, value in self._entries():
            if isinstance(value, memoryview):
                yield number, Message(self.file, value, self.start + end - len(value))

    def error(self, place: int, what: str) -> CorruptFileError:
        """Return the error for a place in the message."""
        return CorruptFileError(self.file, what, offset=self.start + place)

    def _entries(self) -> Iterator[tuple[int, int, Value]]:
        """Yield number, end and value of each field."""
        place = 0
        while place < len(self.data):
            key, place = self._varint(place)
            read = _LAYOUTS.get(key & 7)
            if read is None:
                what = f"a field of layout {key & 7}, expected 0, 1, 2 or 5"
                raise self.error(place, what)
            value, place = read(self, place)
            yield key >> 3, place, value

    def _varint(self, place: int) -> tuple[int, int]:
        value = 0
        for count, byte in enumerate(self.data[place : place + _VARINT_BYTES]):
            value |= (byte & 0x7F) << (7 * count)
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, place + count + 1
        what = f"a number of more than {_VARINT_BYTES} bytes, or cut off"
        raise self.error(place, what)

    def _bytes(self, place: int, size: int) -> tuple[memoryview, int]:
        if size > len(self.data) - place:
            left = len(self.data) - place
            raise self.error(place, f"a value of {size} bytes, but {left} are left")
        return self.data[place : place + size], place + size

    def _sized(self, place: int) -> tuple[memoryview, int]:
        size, place = self._varint(place)
        return self._bytes(place, size)


_LAYOUTS: Final[Mapping[int, Callable[[Message, int], tuple[Value, int]]]] = {
    0: Message._varint,
    1: lambda message, place: message._bytes(place, 8),
    2: Message._sized,
    5: lambda message, place: message._bytes(place, 4),
}
