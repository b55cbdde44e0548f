"""What other formats know, kept under keys of our own; and where a model comes from.

* `general.name`, `.license`, …: provenance that GGUF has keys for
* `aprhub.provenance.*`, `aprhub.lineage`: provenance that it has none for
* `aprhub.hf.architecture`, `.model_type`: what the model is called at Hugging Face
* `aprhub.hf.config_json`, …: the text of a file of a Hugging Face folder
* `aprhub.native.names`, `.encodings`: encodings before widening, in parallel
* `aprhub.carried.WORLD`: everything else that a format carried, as JSON
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from attrs import asdict

from aprhub.api import (
    HF_WORLD,
    Identity,
    LineageStep,
    Provenance,
    UnrepresentableError,
)
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.values import Entry

WORLD: Final = "gguf"

_GENERAL: Final = MappingProxyType(
    {
        "general.name": "name",
        "general.author": "author",
        "general.version": "version",
        "general.description": "description",
        "general.license": "license",
        "general.url": "source",
    }
)
_OWN: Final = MappingProxyType(
    {
        f"aprhub.provenance.{field}": field
        for field in ("data_source", "data_license", "original_format", "created_at")
    }
)
PROVENANCE_KEYS: Final = MappingProxyType(
    {field: key for key, field in (*_GENERAL.items(), *_OWN.items())}
)
"""The key of each field of a provenance that is text."""

_LINEAGE: Final = "aprhub.lineage"
_HF_CLASS: Final = "aprhub.hf.architecture"
_HF_MODEL_TYPE: Final = "aprhub.hf.model_type"
IDENTITY_KEYS: Final = MappingProxyType(
    {"hf_class": _HF_CLASS, "hf_model_type": _HF_MODEL_TYPE}
)
"""The keys of an identity in the words of Hugging Face."""

_HINTS: Final = (
    "general.name",
    "general.basename",
    "general.finetune",
    "general.base_model.0.name",
)
_NATIVE_NAMES: Final = "aprhub.native.names"
_NATIVE_ENCODINGS: Final = "aprhub.native.encodings"
_CARRIED: Final = "aprhub.carried."
_HF: Final = "aprhub.hf."

_FILE_NAME = re.compile(r"([A-Za-z0-9_]+)\.(json|jinja|txt|md)")
_FILE_KEY = re.compile(r"aprhub\.hf\.([A-Za-z0-9_]+)_(json|jinja|txt|md)")


def read_identity(ledger: Ledger, architecture: str) -> Identity:
    """Read what the file says it is; names of the model are hints."""
    texts = (ledger.entries.get(key) for key in _HINTS)
    return Identity(
        architecture,
        ledger.text(_HF_CLASS, "config.identity.hf_class"),
        ledger.text(_HF_MODEL_TYPE, "config.identity.hf_model_type"),
        tuple(each.value for each in texts if each and each.kind == "string"),
    )


def identity_entries(identity: Identity) -> Iterator[tuple[str, Entry]]:
    """Yield what the model is in the words of Hugging Face."""
    if identity.hf_class is not None:
        yield _HF_CLASS, Entry("string", identity.hf_class)
    if identity.hf_model_type is not None:
        yield _HF_MODEL_TYPE, Entry("string", identity.hf_model_type)


def read_provenance(ledger: Ledger) -> Provenance:
    """Read where the model comes from; what is no text is carried as it is."""
    texts: dict[str, str | None] = {}
    for key, field in (*_GENERAL.items(), *_OWN.items()):
        if ledger.kind(key) in ("string", None):
            texts[field] = ledger.text(key, f"provenance.{field}")
        else:
            ledger.carry_noted(key, "not text")
    return Provenance(**texts, lineage=_read_lineage(ledger))


def _read_lineage(ledger: Ledger) -> tuple[LineageStep, ...]:
    steps = ledger.json(_LINEAGE, "provenance.lineage")
    try:
        return tuple(_step(step) for step in steps or ())
    except (TypeError, KeyError) as error:
        raise ledger.wrong(_LINEAGE, "a list of operations") from error


def _step(step: Any) -> LineageStep:
    mappings = {name: dict(step[name]) for name in ("inputs", "options", "tools")}
    return LineageStep(**{**step, **mappings})


def provenance_entries(provenance: Provenance) -> Iterator[tuple[str, Entry]]:
    """Yield where the model comes from."""
    for key, field in (*_GENERAL.items(), *_OWN.items()):
        value = getattr(provenance, field)
        if value is not None:
            yield key, Entry("string", value)
    if provenance.lineage:
        steps = [asdict(step) for step in provenance.lineage]
        yield _LINEAGE, Entry("string", _dumped(_LINEAGE, steps))


def read_worlds(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """Read what other formats had carried."""
    worlds: dict[str, dict[str, Any]] = {}
    for key in list(ledger.keys()):
        world = key.removeprefix(_CARRIED)
        if world != key and world != WORLD:
            values = ledger.json(key, f"carried.{world}")
            if not isinstance(values, dict):
                raise ledger.wrong(key, "a JSON object")
            worlds.setdefault(world, {}).update(values)
        found = _FILE_KEY.fullmatch(key)
        if found and ledger.kind(key) == "string":
            name = f"{found[1]}.{found[2]}"
            text = ledger.text(key, f"carried.{HF_WORLD}.{name}")
            worlds.setdefault(HF_WORLD, {})[name] = text
    return worlds


def world_entries(
    carried: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, Entry]]:
    """Yield what formats other than this one carried."""
    for world, values in carried.items():
        if world == WORLD:
            continue
        rest = dict(values)
        if world == HF_WORLD:
            for name, key in _file_keys(values).items():
                yield key, Entry("string", rest.pop(name))
        if rest:
            yield _CARRIED + world, Entry("string", _dumped(_CARRIED + world, rest))


def _file_keys(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the key of each file whose text can have one of its own."""
    found = {
        name: _FILE_NAME.fullmatch(name)
        for name, text in values.items()
        if isinstance(text, str)
    }
    return {name: f"{_HF}{each[1]}_{each[2]}" for name, each in found.items() if each}


def read_native(ledger: Ledger) -> dict[str, str]:
    """Read the encodings that tensors had before a format widened them."""
    names = ledger.texts(_NATIVE_NAMES, "native") or []
    encodings = ledger.texts(_NATIVE_ENCODINGS, "native") or []
    if len(names) != len(encodings):
        key = _NATIVE_NAMES if names else _NATIVE_ENCODINGS
        raise ledger.wrong(key, "as many names as encodings")
    return dict(zip(names, encodings, strict=True))


def native_entries(native: Mapping[str, str]) -> Iterator[tuple[str, Entry]]:
    """Yield the encodings before widening."""
    if native:
        yield _NATIVE_NAMES, Entry("array", list(native), "string")
        yield _NATIVE_ENCODINGS, Entry("array", list(native.values()), "string")


def _dumped(key: str, values: Any) -> str:
    try:
        return json.dumps(values, allow_nan=False, default=_as_list)
    except (TypeError, ValueError, RecursionError) as error:
        what = f"not possible as JSON: {error}; correct that value in the source"
        raise UnrepresentableError(key, what) from error


def _as_list(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
