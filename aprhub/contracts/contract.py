"""A contract: what a YAML file in the schema of provable-contracts says.

Keys that have no meaning here stay in `root`, where they were read; the wild has many.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from attrs import field, frozen

from aprhub.yaml_document import Entry, read

KERNEL: Final = "kernel"
"""The kind of a contract that does not say its own."""

_VERSION = re.compile(r"-v\d+$")


@frozen
class Falsifier:
    """A prediction, and the test that fails where it is wrong."""

    id: str
    rule: str
    prediction: str
    test: str
    if_fails: str
    entry: Entry = field(repr=False)

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Read a falsifier under any of the names that its keys have had."""
        keys = entry.mapping()
        return cls(
            text(keys, "id"),
            text(keys, "rule", "description"),
            text(keys, "prediction", "expected"),
            text(keys, "test", "command") or text(keys, "test_harness", "name"),
            text(keys, "if_fails", "fails_if"),
            entry,
        )


@frozen
class Contract:
    """A contract, and the file that it was read from."""

    path: Path
    root: Entry = field(repr=False)
    metadata: Mapping[str, Entry] = field(repr=False)
    falsifiers: tuple[Falsifier, ...] = ()

    @property
    def name(self) -> str:
        """What people call it: the file's name without version and extension."""
        return _VERSION.sub("", self.path.stem)

    @property
    def id(self) -> str:
        """Its id, or the file's name where it does not give one."""
        return text(self.metadata, "id") or self.path.stem

    @property
    def names(self) -> tuple[str, ...]:
        """All words that mean it."""
        return tuple(dict.fromkeys((self.name, self.path.stem, self.id)))

    @property
    def kind(self) -> str:
        """Its kind; the older way to say `registry` is a flag of that name."""
        if "registry" in self.metadata and self.metadata["registry"].value is True:
            return text(self.metadata, "kind") or "registry"
        return text(self.metadata, "kind") or KERNEL

    @property
    def status(self) -> str:
        """How far it has come, in its own word."""
        return text(self.metadata, "status")

    @property
    def description(self) -> str:
        """What it is about, as one line."""
        return " ".join(text(self.metadata, "description").split())

    def section(self, name: str) -> "Mapping[str, Entry]":
        """Return the members of a mapping at the top, none where there is no such."""
        keys = self.root.mapping()
        return keys[name].mapping() if name in keys else {}

    def listed(self, name: str) -> tuple[Entry, ...]:
        """Return the members of a list at the top, none where there is no such."""
        return members(self.root.mapping().get(name))


def members(entry: Entry | None) -> tuple[Entry, ...]:
    """Return the members of a list, which may be empty or missing."""
    return () if entry is None or entry.value == () else entry.items()


def text(keys: Mapping[str, Entry], *names: str) -> str:
    """Return the first of some keys that holds a single value, as text."""
    for name in names:
        value = keys[name].value if name in keys else None
        if isinstance(value, str | int | float) and str(value).strip():
            return str(value).strip()
    return ""


def read_contract(path: Path) -> Contract:
    """Read a contract.

    Raises UsageError with the line of what is not YAML or has no such place in a
    contract, and MissingFileError.
    """
    root = read(path, "contract")
    keys = root.mapping()
    if "metadata" not in keys:
        root.refuse("metadata is missing, which a contract begins with; add it")
    falsifiers = members(keys.get("falsification_tests"))
    metadata = keys["metadata"].mapping()
    return Contract(path, root, metadata, tuple(map(Falsifier.of, falsifiers)))


def contract_files(folder: Path) -> list[Path]:
    """Return the contracts in a folder and below; registries of bindings are none."""
    found = (each for suffix in ("yaml", "yml") for each in folder.rglob(f"*.{suffix}"))
    return sorted(each for each in found if each.stem != "binding")
