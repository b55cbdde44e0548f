"""`config.json` as a configuration in canonical words."""

from collections.abc import Mapping

from attrs import evolve, field, frozen

from aprhub.api import (
    Document,
    Identity,
    KeyFate,
    ModelConfig,
    UnsupportedFileError,
)
from aprhub_safetensors import attention, rope
from aprhub_safetensors.classes import class_of
from aprhub_safetensors.keys import KEYS, MAX_LAYERS, class_values

WRAPPED = "text_config"
"""Where models that see or hear keep the configuration of their text part."""

_BY_LAYER = "per_layer_config"

GROUPS = {
    **dict.fromkeys(rope.KEYS, ", ".join(rope.FIELDS)),
    **dict.fromkeys(attention.KEYS, ", ".join(attention.FIELDS)),
    "architectures": "identity.hf_class",
    "model_type": "identity.hf_model_type",
}
"""Keys that say something together with others."""


@frozen
class ReadConfig:
    """A configuration and what became of every key."""

    config: ModelConfig = field(factory=ModelConfig)
    fates: tuple[KeyFate, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()


def read_config(document: Document) -> ReadConfig:
    """Return what a `config.json` says, defaults of its class not filled in.

    Raises CorruptFileError, naming the key, when a value is of the wrong kind or two
    keys contradict each other; UnsupportedFileError when layers have values of their
    own.
    """
    scope = scope_of(document)
    if scope.values.get(_BY_LAYER):
        raise UnsupportedFileError(
            document.path,
            f"{document.prefix}{_BY_LAYER} lets layers differ, which those of no known"
            " family do; take a model whose layers are alike",
        )
    identity = _identity(document)
    said = {key: key.read(scope) for key in KEYS}
    values = {key.field: value for key, (_, value) in said.items()}
    layers = values["num_layers"]
    if layers is not None and layers > MAX_LAYERS:
        raise scope.fault("num_hidden_layers", f"at most {MAX_LAYERS}")
    ways = class_of(identity.hf_model_type)
    values |= class_values(scope, ways, values)
    config = ModelConfig(
        identity=identity,
        **values,
        **attention.read_attention(scope, ways, layers),
        **rope.read_rope(scope, ways),
    )
    used = {name: key.field for key, (name, value) in said.items() if value is not None}
    return ReadConfig(config, _fates(scope, used), _notes(document))


def scope_of(document: Document) -> Document:
    """Return the object that has the sizes of the text model."""
    inner = document.section(WRAPPED)
    if inner is None:
        return document
    return evolve(document, values={**document.values, **inner.values})


def _identity(document: Document) -> Identity:
    classes = document.texts("architectures")
    if classes == ():
        raise document.fault("architectures", "the name of a class, or no such key")
    return Identity(
        hf_class=classes[0] if classes else None,
        hf_model_type=document.text("model_type"),
        hints=tuple(filter(None, (document.text("_name_or_path"),))),
    )


def _fates(scope: Document, used: Mapping[str, str]) -> tuple[KeyFate, ...]:
    return tuple(_fate(key, used) for key in scope.values)


def _fate(key: str, used: Mapping[str, str]) -> KeyFate:
    name = f"config.json/{key}"
    if key in GROUPS:
        return KeyFate(name, "transformed", GROUPS[key])
    if key in used:
        kept = used[key] == key
        return KeyFate(name, "kept" if kept else "renamed", used[key])
    return KeyFate(name, "carried", "carried.hf.config.json")


def _notes(document: Document) -> tuple[str, ...]:
    if "auto_map" not in document:
        return ()
    return ("config.json: auto_map names code of the model; it is never run",)
