"""The metadata of a file said anew, and its tensors as they were."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from attrs import evolve

from aprhub.api import Complaints, Restated, Setting, Stamp, Texts, UsageError
from aprhub_gguf.container import ALIGNMENT_KEY
from aprhub_gguf.general import ARCHITECTURE_KEY, FILE_TYPE_KEY, QUANTIZATION_KEY
from aprhub_gguf.layout import split
from aprhub_gguf.parts import SPLIT_KEYS, read_parts
from aprhub_gguf.tables import FLOATS, INTEGERS, VALUE_TYPE_NAMES
from aprhub_gguf.values import Entry, from_json, shortest, to_json
from aprhub_gguf.vocabulary import PREFIXES, TEMPLATE, tokenizer_entries
from aprhub_gguf.worlds import IDENTITY_KEYS, PROVENANCE_KEYS

_DERIVED: Final[Mapping[str, str]] = {
    ALIGNMENT_KEY: "tensors are aligned when they are written",
    FILE_TYPE_KEY: "it follows from the encodings of the tensors",
    QUANTIZATION_KEY: "it follows from the encodings of the tensors",
    ARCHITECTURE_KEY: "the names of other keys follow from it; use --architecture",
    **dict.fromkeys(SPLIT_KEYS, "it follows from the number of files"),
}
"""Keys that follow from something else, and from what."""

_SCALARS: Final = VALUE_TYPE_NAMES.keys() - {"array", "bool"}
"""The types that can be named, beside those that all formats have."""

_WHOLE: Final = (("u32", 0, 1 << 32), ("i32", -(1 << 31), 1 << 31), ("u64", 0, 1 << 64))


def metadata(path: Path) -> Mapping[str, Any]:
    """Return the entries of a file, or of a model's first part, with their types."""
    return _shown(read_parts(path, Complaints())[0].entries)


def restate(path: Path, stamp: Stamp, target: Path) -> Restated:
    """Return a file with a stamp, or all parts of a split model.

    Raises UsageError for a key that follows from others or a value of another type,
    UnrepresentableError for a value that its type cannot hold.
    """
    parts = read_parts(path, Complaints())
    before = parts[0].entries
    after = _after(before, stamp)
    layout = split(target, after, [list(each.tensors.items()) for each in parts])
    return Restated(layout, _shown(after))


def _shown(entries: Mapping[str, Entry]) -> dict[str, Any]:
    return {key: to_json(_listed(entry)) for key, entry in entries.items()}


def _listed(entry: Entry) -> Entry:
    """Return an entry whose values can be compared with those of a file."""
    value = entry.value
    if isinstance(value, Texts):
        return evolve(entry, value=list(value))
    made = isinstance(value, np.ndarray)
    return evolve(entry, value=value.tolist()) if made else entry


def _after(before: Mapping[str, Entry], stamp: Stamp) -> dict[str, Entry]:
    stamp.require(before, _DERIVED)
    entries = dict(before)
    # That of the file: what is written has the usual one.
    entries.pop(ALIGNMENT_KEY, None)
    if "architecture" in stamp.identity:
        entries = _renamed(entries, stamp.identity["architecture"])
    said = {**stamp.provenance, **stamp.identity}
    for word, key in (*PROVENANCE_KEYS.items(), *IDENTITY_KEYS.items()):
        if word in said:
            entries[key] = Entry("string", said[word])
    if stamp.tokenizer is not None:
        kept = {k: v for k, v in entries.items() if not k.startswith(PREFIXES)}
        entries = {**kept, **dict(tokenizer_entries(stamp.tokenizer))}
    if stamp.chat_template is not None:
        entries[TEMPLATE] = Entry("string", stamp.chat_template)
    for key, setting in stamp.settings.items():
        entries[key] = _entry(key, setting, entries.get(key))
    return {key: entry for key, entry in entries.items() if key not in stamp.unset}


def _renamed(entries: Mapping[str, Entry], architecture: str) -> dict[str, Entry]:
    """Return entries of another architecture, which begins the names of its keys."""
    said = Entry("string", architecture)
    before = f"{entries.get(ARCHITECTURE_KEY, said).value}."

    def name(key: str) -> str:
        own = key.startswith(before)
        return f"{architecture}.{key.removeprefix(before)}" if own else key

    renamed = {name(key): entry for key, entry in entries.items()}
    return {**renamed, ARCHITECTURE_KEY: said}


def _entry(key: str, setting: Setting, old: Entry | None) -> Entry:
    """Return a value with a type: the one named, that of the old value, or the usual.

    Raises UsageError where the text is not of the type.
    """
    named = setting.kind
    if named is None and old is not None:
        return _of_kind(key, setting, old)
    if named is not None and named in _SCALARS:
        return _of_kind(key, setting, Entry(named, None))
    return _inferred(key, setting.value(key))


def _of_kind(key: str, setting: Setting, like: Entry) -> Entry:
    typed = evolve(setting, kind=_common(like.kind))
    value = typed.value(key)
    return _made(key, {"type": like.kind, "of": like.of, "value": value})


def _common(kind: str) -> str:
    """Return the common type in which a text of a GGUF type is read."""
    if kind in INTEGERS:
        return "int"
    if kind in FLOATS:
        return "float"
    return {"string": "str", "array": "json"}.get(kind, kind)


def _inferred(key: str, value: Any) -> Entry:
    if isinstance(value, list):
        of = {_kind(key, each) for each in value} or {"string"}
        kind = of.pop() if len(of) == 1 else "i64" if of <= {*INTEGERS} else "f32"
        return _made(key, {"type": "array", "of": kind, "value": value})
    return _made(key, {"type": _kind(key, value), "value": value})


def _kind(key: str, value: Any) -> str:
    names = {str: "string", bool: "bool", float: "f32"}
    if type(value) is int:
        return next((n for n, low, end in _WHOLE if low <= value < end), "i64")
    if type(value) not in names:
        raise UsageError(
            f"{key}: {value!r:.80} is of no type that GGUF has; give a text, a number,"
            " true or false, or a list of those"
        )
    return names[type(value)]


def _made(key: str, data: Mapping[str, Any]) -> Entry:
    """Return the entry of a value, an f32 as it will be read again."""
    entry = from_json(key, data)
    if entry.kind == "f32":
        return evolve(entry, value=shortest(entry.value))
    if entry.of == "f32":
        return evolve(entry, value=[shortest(each) for each in entry.value])
    return entry
