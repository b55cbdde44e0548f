"""A position in a JSON text, for objects that are too large to be built first.

An object of a million entries is read entry by entry, so that a hostile one is refused
at its first wrong entry and costs no more memory than its text.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import define, field

from aprhub.api import CorruptFileError, shown

_SPACE: Final = r"[ \t\n\r]*+"
_STRING: Final = r'("(?:[^"\\\x00-\x1f]++|\\.)*+")'

OPENING: Final = re.compile(_SPACE + r"\{" + _SPACE)
CLOSING: Final = re.compile(r"\}")
KEY: Final = re.compile(_SPACE + _STRING + _SPACE + ":" + _SPACE)
STRING: Final = re.compile(_STRING)
NEXT: Final = re.compile(_SPACE + r"([,}])")
ENTRY: Final = re.compile(r"\{[^{}]{0,4096}+\}")
END: Final = re.compile(_SPACE + r"\Z")


@define
class Cursor:
    """Reads a text from front to back; `origin` is the byte where it starts.

    `mark` is where the token that was read last begins.
    """

    path: Path
    text: str = field(repr=False)
    origin: int = 0
    position: int = 0
    mark: int = 0

    def members(self) -> Iterator[str]:
        """Yield the keys of an object; the caller reads each value before the next."""
        self._take(OPENING, "'{'")
        if CLOSING.match(self.text, self.position):
            self.position += 1
            return
        more = True
        while more:
            token = self._take(KEY, "a key in quotes and ':'")
            yield self._unescaped(token[1])
            more = self._take(NEXT, "',' or '}'")[1] == ","

    def string(self, where: str) -> str:
        """Read a string."""
        return self._unescaped(self._take(STRING, "a string", where)[1], where)

    def entry(self, where: str) -> str:
        """Read the text of an object without objects inside."""
        return self._take(ENTRY, "an object with dtype, shape, data_offsets", where)[0]

    def finish(self) -> None:
        """Make sure that nothing but spaces is left."""
        self._take(END, "nothing but spaces after the last '}'")

    def fault(self, what: str, where: str = "") -> CorruptFileError:
        """Return the error for what was read last."""
        before = self.text[: self.mark].encode("utf-8")
        return CorruptFileError(
            self.path,
            what,
            where=f"header, {shown(where)}" if where else "header",
            offset=self.origin + len(before),
        )

    def _take(
        self, pattern: re.Pattern[str], expected: str, where: str = ""
    ) -> re.Match[str]:
        self.mark = self.position
        found = pattern.match(self.text, self.position)
        if found is None:
            rest = self.text[self.position : self.position + 20]
            raise self.fault(f"found {rest!r}, expected {expected}", where)
        self.position = found.end()
        return found

    def _unescaped(self, token: str, where: str = "") -> str:
        if "\\" not in token:
            return token[1:-1]
        try:
            text = str(json.loads(token))
            text.encode("utf-8")
        except ValueError as error:
            what = f"a string that cannot be decoded: {error}"
            raise self.fault(what, where) from error
        return text
