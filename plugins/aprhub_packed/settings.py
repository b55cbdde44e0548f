"""Typed access to the parameters of a packing, which nobody has checked."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import field, frozen

from aprhub.api import CorruptFileError, PackingClaim, UnsupportedFileError

T = TypeVar("T", int, str, bool)

_MAX_SIZE: Final = 1 << 31


@frozen
class Settings:
    """An object of a `config.json`; `where` is its place in the file."""

    path: Path
    where: str
    values: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, path: Path, claim: PackingClaim) -> "Settings":
        """Return the settings that a model claims."""
        return cls(path, claim.where, claim.settings)

    def choice(self, key: str, known: Sequence[T], default: T) -> T:
        """Return one of the known values; the default where the key is absent or null.

        Raises UnsupportedFileError for any other.
        """
        value = self.values.get(key)
        if value is None:
            return default
        for each in known:
            if type(value) is type(each) and value == each:
                return each
        listed = ", ".join(map(str, known))
        raise self.unsupported(key, f"take a checkpoint with one of {listed}")

    def size(self, key: str) -> int | None:
        """Return a positive number, or None where it is absent, null or -1."""
        value = self.values.get(key)
        if value is None or value == -1:
            return None
        if type(value) is not int or not 0 < value < _MAX_SIZE:
            raise self.fault(key, "a positive number, or -1 for no groups")
        return value

    def sizes(self, key: str) -> tuple[int, int] | None:
        """Return two positive numbers, or None where the key is absent or null."""
        value = self.values.get(key)
        if value is None:
            return None
        pair = tuple(value) if isinstance(value, list) else ()
        if len(pair) != 2 or not all(type(n) is int and n > 0 for n in pair):
            raise self.fault(key, "two positive numbers")
        return pair

    def section(self, key: str) -> "Settings | None":
        """Return an object inside this one, or None where it is absent or null."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.fault(key, "an object")
        return Settings(self.path, f"{self.where}.{key}", value)

    def sections(self, key: str) -> "Iterator[Settings]":
        """Yield the objects inside an object inside this one."""
        outer = self.section(key)
        for name in outer.values if outer else ():
            inner = outer.section(name) if outer else None
            if inner:
                yield inner

    def fault(self, key: str, expected: str) -> CorruptFileError:
        """Return the error for a value that is not what it should be."""
        what = f"{key} is {self.values.get(key)!r:.80}, expected {expected}"
        return CorruptFileError(self.path, what, where=self.where)

    def unsupported(self, key: str, repair: str) -> UnsupportedFileError:
        """Return the error for a variant that is not read, with one thing to do."""
        return UnsupportedFileError(
            self.path,
            f"{self.where}: {key} is {self.values.get(key)!r:.80}, which is not read;"
            f" {repair}, or keep the parts as they are with --naming keep",
        )
