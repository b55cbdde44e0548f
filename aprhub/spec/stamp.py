"""Stamp: what is to be said of a model anew, and how a format would say it."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Self

from attrs import field, frozen

from aprhub.errors import UsageError, near_miss
from aprhub.ir.tokenizer import Tokenizer
from aprhub.spec.layout import Layout

_SETTING: Final = re.compile(r"([^=]+?)(?::([A-Za-z0-9_]+))?=(.*)", re.DOTALL)
_FLAGS: Final = {"true": True, "false": False}


@frozen
class Setting:
    """The value of a key as somebody typed it, and the type that they named, if any.

    A type is `str`, `int`, `float`, `bool`, `json`, or one of the format's own.
    """

    text: str
    kind: str | None = None

    @classmethod
    def parse(cls, words: str) -> tuple[str, Self]:
        """Return the key and the value of `KEY=VALUE` or `KEY:TYPE=VALUE`."""
        found = _SETTING.fullmatch(words)
        if found is None:
            raise UsageError(
                f"{words!r:.80} is neither KEY=VALUE nor KEY:TYPE=VALUE; write it so"
            )
        return found[1], cls(found[3], found[2])

    def value(self, key: str) -> Any:
        """Return the value as JSON-like data.

        Without a type, a number is a number, `true` and `false` are flags, and all
        else is text. Raises UsageError for a type that is not one of the common ones,
        and where the text is of another type.
        """
        if self.kind is None:
            return _inferred(self.text)
        if self.kind not in _COMMON:
            known = ", ".join(_COMMON)
            near = near_miss(self.kind, _COMMON)
            raise UsageError(
                f"{key}: no type is called {self.kind!r}; take one of {known}{near}"
            )
        try:
            return _COMMON[self.kind](self.text)
        except ValueError as error:
            raise UsageError(
                f"{key}: {self.text!r:.80} is not of type {self.kind}; give one that"
                " is, or leave the type out"
            ) from error


def _flag(text: str) -> bool:
    if text not in _FLAGS:
        raise ValueError(text)
    return _FLAGS[text]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def _json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant)


def _inferred(text: str) -> Any:
    try:
        value = _json(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


_COMMON: Final[Mapping[str, Callable[[str], Any]]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": _flag,
    "json": _json,
}


@frozen
class Stamp:
    """What is to be said of a model anew; what is not mentioned stays as it is.

    `provenance` and `identity` are by the fields of `Provenance` and `Identity`.
    `tokenizer` is in the form that the format needs. `settings` and `unset` are about
    the format's own keys.
    """

    provenance: Mapping[str, str] = field(factory=dict)
    identity: Mapping[str, str] = field(factory=dict)
    tokenizer: Tokenizer | None = None
    chat_template: str | None = None
    settings: Mapping[str, Setting] = field(factory=dict)
    unset: tuple[str, ...] = ()

    def require(self, keys: Collection[str], derived: Mapping[str, str]) -> None:
        """Raise UsageError for what nobody can set, and for what is not there to unset.

        `keys` are those of the model; `derived` says from what some keys follow.
        """
        for key in self.settings:
            if key in derived:
                raise UsageError(
                    f"{key} is not set by hand, leave it out: {derived[key]}"
                )
        for key in self.unset:
            if key not in keys:
                raise UsageError(
                    f"{key} is not there, so it cannot be unset; leave it out"
                    f"{near_miss(key, keys)}"
                )


@frozen
class Restated:
    """The files of a model with its metadata said anew, and all that these say then.

    `keys` are the format's own, values JSON-like. The tensors of the `layout` are the
    source's own byte ranges. Where the target is the folder of the source itself,
    files that stay as they are can be left out, and `gone` names those that do not
    stay. `flags` are the bits by which a header says what is in its file, where the
    format has them.
    """

    layout: Layout
    keys: Mapping[str, Any] = field(repr=False)
    gone: tuple[str, ...] = ()
    flags: int | None = None
