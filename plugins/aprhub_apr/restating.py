"""The metadata of a file said anew, and everything else of it as it was."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from aprhub.api import (
    Complaints,
    Restated,
    Stamp,
    Tensor,
    Texts,
    Tokenizer,
    UnrepresentableError,
)
from aprhub_apr import index, layout, vocabulary
from aprhub_apr.configuration import IDENTITY, NESTED, spellings
from aprhub_apr.container import Container, scanned
from aprhub_apr.index import Entry
from aprhub_apr.tables import ALIASES, NEVER_NULL, TYPED_KEYS, WRITTEN_NULLS, Flag

_VOCABULARY: Final = vocabulary.PREFIX + "vocabulary"
_DERIVED: Final[Mapping[str, str]] = {
    "total_size": "it is counted from the tensors",
    "param_count": "it is counted from the tensors",
    "tensor_shapes": "the index has the shapes",
    "sharding": "every file is whole",
    NESTED: "it is a whole configuration; set the keys in it by their own names",
    **{
        alias: f"it is another spelling of {key}, and readers refuse both; use {key}"
        for key, aliases in ALIASES.items()
        for alias in aliases
    },
}
"""Keys that follow from something else, and from what."""


def metadata(path: Path) -> Mapping[str, Any]:
    """Return the metadata of a file as they are."""
    return scanned(path, Complaints()).document.keys


def restate(path: Path, stamp: Stamp, target: Path) -> Restated:
    """Return a file with a stamp: the same header but for flags, the same tensors.

    Raises UsageError for a key that follows from others.
    """
    container = scanned(path, Complaints())
    before = container.document.keys
    after = _after(before, stamp)
    entries = tuple(_moved(container.entries))
    tensors = {each.name: _tensor(container, each) for each in container.entries}
    flags = _flags(container, after)
    file = layout.indexed(after, entries, tensors, flags, target.name)
    return Restated(file, after, flags=int(flags))


def _moved(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield entries with their payloads behind each other, type ids as they are."""
    offset = 0
    for entry in entries:
        moved = evolve(entry, offset=offset)
        offset = moved.padded_end
        yield moved


def _tensor(container: Container, entry: Entry) -> Tensor:
    encoding = index.encoding(container.path, entry)
    start = container.header.data_offset + entry.offset
    return Tensor.at(container.path, start, entry.shape, encoding)


def _flags(container: Container, keys: Mapping[str, Any]) -> Flag:
    """Return the flags of the file, but for what the metadata decide."""
    kept = container.header.flags & ~Flag.HAS_VOCAB
    vocabulary_flag = Flag.HAS_VOCAB if keys.get(_VOCABULARY) else Flag(0)
    return kept | Flag.LAYOUT_ROW_MAJOR | vocabulary_flag


def _after(before: Mapping[str, Any], stamp: Stamp) -> dict[str, Any]:
    stamp.require(before, _DERIVED)
    keys = {**before, **stamp.provenance}
    for key, name in IDENTITY.items():
        if name in stamp.identity:
            _set(keys, key, stamp.identity[name])
    if stamp.tokenizer is not None:
        _put_tokenizer(keys, stamp.tokenizer)
    if stamp.chat_template is not None:
        for key in ("chat_template", vocabulary.PREFIX + "chat_template"):
            keys[key] = stamp.chat_template
    for key, setting in stamp.settings.items():
        _set(keys, key, setting.value(key))
    for key in stamp.unset:
        _unset(keys, key)
    return _ordered(keys, before)


def _set(keys: dict[str, Any], key: str, value: Any) -> None:
    """Set a key, and remove its other spellings, or change it where they are nested."""
    for alias in ALIASES.get(key, ()):
        keys.pop(alias, None)
    keys[key] = value
    text = keys.get(NESTED)
    if not isinstance(text, str):
        return
    try:
        nested = json.loads(text)
    except ValueError:
        return  # a program's own words, in which nobody looks for a configuration
    said = [name for name in spellings(key) if name in nested]
    if said:
        keys[NESTED] = json.dumps({**nested, **dict.fromkeys(said, value)})


def _put_tokenizer(keys: dict[str, Any], tokenizer: Tokenizer) -> None:
    for key in list(keys):
        if key.startswith(vocabulary.PREFIX) or key in vocabulary.OWN_KEYS:
            del keys[key]
    for key, value in vocabulary.tokenizer_keys(tokenizer).items():
        if value is not None:
            # What is read back is compared with lists.
            keys[key] = list(value) if isinstance(value, Texts) else value


def _unset(keys: dict[str, Any], key: str) -> None:
    if key in NEVER_NULL:
        what = f"readers refuse a file without it; leave out --unset {key}"
        raise UnrepresentableError(key, what)
    if key in WRITTEN_NULLS:
        keys[key] = None
    else:
        del keys[key]


def _ordered(keys: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys in the order of the file, new ones where the format has them."""
    places = {key: place for place, key in enumerate(TYPED_KEYS)}
    if before.keys() == keys.keys():
        return dict(keys)
    typed = sorted((key for key in keys if key in places), key=places.__getitem__)
    others = sorted(keys.keys() - places.keys())
    return {key: keys[key] for key in (*typed, *others)}
