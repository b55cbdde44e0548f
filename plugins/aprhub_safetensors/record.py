"""`aprhub.json`: what aprhub knows of a model and no other file has room for.

    {"version": 1, "provenance": {…}, "native": {…}, "carried": {…}}

`carried` has the keys of other formats, so that a model that came from one of them can
go back there.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import asdict, field, fields, frozen

from aprhub.api import (
    HF_WORLD,
    Document,
    LineageStep,
    Provenance,
    StoredModel,
    UnrepresentableError,
    UnsupportedFileError,
    shown,
)
from aprhub_safetensors.tables import TEXTS

VERSION: Final = 1
OWN_WORLD: Final = "safetensors"
"""The world of this format: it is in the weight files themselves."""


@frozen
class Record:
    """What was put on record with a model."""

    provenance: Provenance = field(factory=Provenance)
    native: Mapping[str, str] = field(factory=dict)
    carried: Mapping[str, Mapping[str, Any]] = field(factory=dict)


def read_record(document: Document | None) -> Record:
    """Return the record of a model, empty where there is none.

    Raises UnsupportedFileError for a later version, CorruptFileError for values of
    another kind than is written.
    """
    if document is None:
        return Record()
    version = document.whole("version")
    if version != VERSION:
        what = f"version {version} of the record, expected {VERSION}; update aprhub"
        raise UnsupportedFileError(document.path, what)
    carried = document.section("carried")
    worlds = {name: carried.section(name) for name in carried.values} if carried else {}
    return Record(
        _provenance(document.section("provenance")),
        document.mapping("native"),
        {name: world.values for name, world in worlds.items() if world},
    )


def _provenance(section: Document | None) -> Provenance:
    if section is None:
        return Provenance()
    names = [each.name for each in fields(Provenance) if each.name != "lineage"]
    return Provenance(
        lineage=tuple(_step(each) for each in section.sections("lineage")),
        **{name: section.text(name) for name in names},
    )


def _step(section: Document) -> LineageStep:
    operation, options = section.text("operation"), section.section("options")
    if operation is None:
        raise section.fault("operation", "a string")
    return LineageStep(
        operation,
        section.mapping("inputs"),
        options.values if options else {},
        section.mapping("tools"),
    )


def record_text(stored: StoredModel) -> str | None:
    """Return the text of the record of a model, or None when there is nothing in it."""
    provenance = asdict(stored.provenance)
    known = {name: value for name, value in provenance.items() if value}
    content = {
        "provenance": known,
        "native": stored.native,
        "carried": _foreign(stored.carried),
    }
    filled = {name: value for name, value in content.items() if value}
    if not filled:
        return None
    try:
        text = json.dumps({"version": VERSION, **filled}, indent=1, default=_plain)
    except TypeError as error:
        raise UnrepresentableError(
            stored.path,
            f"aprhub.json: {error}; report it to the author of the plugin that carried"
            " it",
        ) from error
    return text + "\n"


def _foreign(
    carried: Mapping[str, Mapping[str, Any]],
) -> dict[str, Mapping[str, Any]]:
    """Return what is carried and is not written in files of its own."""
    worlds = {
        world: {
            key: value
            for key, value in keys.items()
            if world != HF_WORLD or key not in TEXTS or not isinstance(value, str)
        }
        for world, keys in carried.items()
        if world != OWN_WORLD
    }
    return {world: keys for world, keys in worlds.items() if keys}


def _plain(value: object) -> Any:
    """Return a mapping or sequence as one that JSON knows."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{shown(value)} is not JSON-like")
