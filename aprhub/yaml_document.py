"""A YAML file as values that know where they stand, so that every error can say it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

import yaml
from attrs import frozen

from aprhub.errors import (
    MissingFileError,
    UsageError,
    near_miss,
)

Scalar = str | int | float | bool | None

_TAGS: Final = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
"""What lists and mappings are; anything else would be an object of some program."""


@frozen
class Entry:
    """A value of a YAML file, the line where it, or its key, begins, and its path.

    Tags other than those of plain scalars, aliases and keys that stand twice are
    refused: a file gives nothing but texts, numbers, lists and mappings.
    """

    file: str
    path: str
    line: int
    value: "Scalar | tuple[Entry, ...] | Mapping[str, Entry]"

    @property
    def where(self) -> str:
        """The place in words."""
        return f"{self.file}, line {self.line}: {self.path}".removesuffix(": ")

    def refuse(self, what: str) -> NoReturn:
        """Raise the error for this place; what is wrong ends with what to do."""
        raise UsageError(": ".join((self.where, what)))

    def mapping(self, *known: str) -> "Mapping[str, Entry]":
        """Return the members of a mapping; refuse keys other than the known ones.

        Without any, all keys are known. Members without a value are left out.
        """
        if not isinstance(self.value, Mapping):
            self.refuse(f"{self.shown} found; write keys and values")
        for name, entry in self.value.items():
            if known and name not in known:
                near = near_miss(name, known)
                entry.refuse(f"unknown key; choose from {', '.join(known)}{near}")
        return {name: e for name, e in self.value.items() if e.value is not None}

    def items(self) -> "tuple[Entry, ...]":
        """Return the members of a list."""
        if not isinstance(self.value, tuple):
            self.refuse(f"{self.shown} found; write a list")
        if not self.value:
            self.refuse("the list is empty; write at least one item")
        return self.value

    def text(self) -> str:
        """Return a text."""
        if not isinstance(self.value, str) or not self.value:
            self.refuse(f"{self.shown} found; write a text")
        return self.value

    def whole(self) -> int:
        """Return a whole number that is not negative."""
        if type(self.value) is not int or self.value < 0:
            self.refuse(f"{self.shown} found; write a whole number from 0 on")
        return self.value

    def flag(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            self.refuse(f"{self.shown} found; write true or false")
        return self.value

    @property
    def shown(self) -> str:
        """The value as an error shows it."""
        if isinstance(self.value, Mapping):
            return "keys and values"
        return "a list" if isinstance(self.value, tuple) else f"{self.value!r:.80}"


def read(path: Path, kind: str) -> Entry:
    """Return what a YAML file of a kind, such as a recipe, says.

    Raises UsageError with the line of what is not YAML, or more than plain values.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MissingFileError(
            path, f"cannot be read as a {kind}: {error}; give a YAML file in UTF-8"
        ) from error
    return parsed_yaml(text, path, kind)


def parsed_yaml(text: str, path: Path, kind: str) -> Entry:
    """Return what the text of a YAML file says; raises UsageError as `read` does."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise UsageError(f"{path}: the {kind} is empty; write its keys there")
        return _Reading(str(path), loader, set()).entry(root, "")
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(
            f"{path}: this is not YAML; correct what is named here: {error}"
        ) from error
    finally:
        loader.dispose()


@frozen
class _Reading:
    file: str
    loader: yaml.SafeLoader
    seen: set[int]

    def entry(self, node: yaml.Node, path: str, key: yaml.Node | None = None) -> Entry:
        line = (key or node).start_mark.line + 1
        if id(node) in self.seen:
            raise UsageError(
                f"{self.file}, line {line}: {path}: an alias; write the value out"
            )
        self.seen.add(id(node))
        return Entry(self.file, path, line, self._value(node, path))

    def _value(
        self, node: yaml.Node, path: str
    ) -> Scalar | tuple[Entry, ...] | Mapping[str, Entry]:
        if isinstance(node, yaml.CollectionNode) and node.tag not in _TAGS:
            line = node.start_mark.line + 1
            raise UsageError(
                f"{self.file}, line {line}: {path}: the tag {node.tag}; write the value"
                " without it"
            )
        if isinstance(node, yaml.MappingNode):
            return self._members(node, path)
        if isinstance(node, yaml.SequenceNode):
            members = enumerate(node.value)
            return tuple(
                self.entry(each, f"{path}[{place}]") for place, each in members
            )
        value = self.loader.construct_object(node)
        if value is not None and not isinstance(value, str | int | float | bool):
            # What YAML takes for a date is a text to everybody else.
            return str(node.value)
        return value

    def _members(self, node: yaml.MappingNode, path: str) -> Mapping[str, Entry]:
        found: dict[str, Entry] = {}
        for key, value in node.value:
            name = str(key.value)
            entry = self.entry(value, f"{path}.{name}".lstrip("."), key)
            if name in found:
                entry.refuse("this key stands twice; keep one of both")
            found[name] = entry
        return found
