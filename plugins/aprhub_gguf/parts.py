"""Models that are split over several files: `PREFIX-00002-of-00005.gguf`."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from aprhub.api import Complaints, CorruptFileError, MissingFileError, Tensor
from aprhub_gguf.container import ALIGNMENT_KEY, Container, read_container
from aprhub_gguf.tables import INTEGERS

NUMBER_KEY: Final = "split.no"
COUNT_KEY: Final = "split.count"
TENSORS_KEY: Final = "split.tensors.count"
SPLIT_KEYS: Final = (NUMBER_KEY, COUNT_KEY, TENSORS_KEY)

_PART_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)


@frozen
class PartName:
    """The name of one part; parts count from 1."""

    prefix: str
    number: int
    count: int

    @classmethod
    def of(cls, name: str) -> "PartName | None":
        """Return what a file name says, or None when it is no part's name."""
        found = _PART_NAME.fullmatch(name)
        return cls(found[1], int(found[2]), int(found[3])) if found else None

    def __str__(self) -> str:
        """Return the file name."""
        return f"{self.prefix}-{self.number:05d}-of-{self.count:05d}.gguf"

    def siblings(self) -> Iterator["PartName"]:
        """Yield the names of all parts, in order."""
        for number in range(1, self.count + 1):
            yield PartName(self.prefix, number, self.count)


def read_parts(path: Path, complaints: Complaints) -> list[Container]:
    """Read a file, and all other parts of the same model, in order.

    Raises MissingFileError with the name of a part that is not there, and
    CorruptFileError when the parts do not belong together.
    """
    opened = read_container(path, complaints)
    count = _integer(opened, COUNT_KEY)
    if count is None:
        return [opened]
    if count == 1:
        return _checked([opened])
    name = PartName.of(path.name)
    if name is None or name.count != count or not 1 <= name.number <= count:
        raise CorruptFileError(
            path,
            f"{COUNT_KEY} is {count}, but the file is not called"
            f" PREFIX-NNNNN-of-{count:05d}.gguf, by which the other parts are found",
            repair="give all parts such names",
        )
    return _checked(
        [
            opened if each == name else _read_sibling(path, each, complaints)
            for each in name.siblings()
        ]
    )


def _read_sibling(path: Path, name: PartName, complaints: Complaints) -> Container:
    sibling = path.with_name(str(name))
    if not sibling.is_file():
        what = f"this part is missing beside {path.name}; put all in one folder"
        raise MissingFileError(sibling, what)
    return read_container(sibling, complaints)


def _checked(parts: list[Container]) -> list[Container]:
    """Return the parts if each says that it is in its place, and once."""
    total = sum(len(part.tensors) for part in parts)
    seen: dict[str, Path] = {}
    for number, part in enumerate(parts):
        _require(part, NUMBER_KEY, number)
        _require(part, COUNT_KEY, len(parts))
        _require(part, TENSORS_KEY, total)
        _refuse_contradictions(parts[0], part)
        for name in part.tensors:
            if name in seen:
                what, where = f"is in {seen[name].name}, too", f"tensor {name!r}"
                raise _mixed(part, where, what)
            seen[name] = part.path
    return parts


def _require(part: Container, key: str, expected: int) -> None:
    found = _integer(part, key)
    if found != expected:
        said = "nothing" if found is None else found
        raise _mixed(part, key, f"found {said}, expected {expected}")


def _integer(part: Container, key: str) -> int | None:
    entry = part.entries.get(key)
    if entry is None:
        return None
    if entry.kind not in INTEGERS:
        what = f"found {entry.described}, expected a whole number"
        raise CorruptFileError(part.path, what, where=key)
    return int(entry.value)


def _refuse_contradictions(first: Container, part: Container) -> None:
    """Raise CorruptFileError when a part says something that the first does not."""
    for key, entry in part.entries.items():
        if key in SPLIT_KEYS or key == ALIGNMENT_KEY:
            continue
        if first.entries.get(key) != entry:
            raise _mixed(part, key, f"{first.path.name} does not say the same")


def _mixed(part: Container, where: str, what: str) -> CorruptFileError:
    """Return the error for a part that does not belong to the others."""
    repair = "get all parts of the same model again"
    return CorruptFileError(part.path, what, where=where, repair=repair)


def merged_tensors(parts: Sequence[Container]) -> dict[str, Tensor]:
    """Return the tensors of all parts, in order."""
    return {name: each for part in parts for name, each in part.tensors.items()}
