"""One broken or odd input, and what has to happen when a command is given it."""

import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Protocol

from attrs import frozen


class Expected(Enum):
    """What a command has to do with an input.

    A refusal is a typed error that names the file and leaves nothing behind. EITHER
    is for faults of values that nobody has to look at, and for rules on which programs
    differ: the command may go on or refuse, and must do so in an orderly way.
    REPORTED is for faults that may be repaired if the output says so: the text of
    `Case.where` has to stand in it.
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    REPORTED = "reported"
    EITHER = "either"


class Writable(Protocol):
    """A file or folder that can be written under a folder."""

    def write(self, folder: Path) -> Path:
        """Write it and return the path that a command is given."""


@frozen
class Case:
    """An input, and what is expected of the commands that open it.

    `build` writes the input below an empty folder and returns its path. `inspects`
    holds for `inspect` and `tensors`, which look at the container only; `converts`
    for `convert`. `where` is a text that the message of a refusal contains: the name
    of the field, key, tensor or file that is at fault. `why` is set where an oddity
    is not refused.
    """

    name: str
    build: Callable[[Path], Path]
    inspects: Expected = Expected.REFUSED
    converts: Expected = Expected.REFUSED
    where: str = ""
    why: str = ""

    def __str__(self) -> str:
        return self.name


@frozen
class RawFile:
    """A file of given bytes, followed by a hole up to `size` where one is given."""

    name: str
    data: bytes
    size: int = 0

    def write(self, folder: Path) -> Path:
        """Write the file into a folder; the hole takes no space."""
        path = folder / self.name
        path.write_bytes(self.data)
        if self.size:
            os.truncate(path, self.size)
        return path


def broken(name: str, file: Writable, where: str = "") -> Case:
    """Return a case whose container is at fault: every command refuses it."""
    return Case(name, file.write, where=where)


def unsound(name: str, file: Writable, where: str = "") -> Case:
    """Return a case whose model is at fault: `convert` refuses it."""
    return Case(name, file.write, Expected.EITHER, Expected.REFUSED, where)


def questionable(name: str, file: Writable, where: str) -> Case:
    """Return a case that may be converted if the output says what is wrong."""
    return Case(name, file.write, Expected.EITHER, Expected.REPORTED, where)


def odd(name: str, file: Writable, why: str) -> Case:
    """Return a case on which reasonable readers differ, or that nobody looks at."""
    return Case(name, file.write, Expected.EITHER, Expected.EITHER, why=why)


def legal(name: str, file: Writable, why: str) -> Case:
    """Return a case that looks wrong and is not."""
    return Case(name, file.write, Expected.ACCEPTED, Expected.ACCEPTED, why=why)
