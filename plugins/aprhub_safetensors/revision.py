"""The `config.json` that a model came with, brought up to date.

Only keys whose fields mean something else now are changed, so that an unchanged
configuration is written byte for byte.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

import numpy as np
from attrs import asdict, evolve

from aprhub.api import Document, ModelConfig, RopeScaling, StoredModel
from aprhub_safetensors import attention, rope
from aprhub_safetensors.classes import class_of
from aprhub_safetensors.config import WRAPPED, read_config
from aprhub_safetensors.defaults import completed
from aprhub_safetensors.keys import KEYS, spelled_value, written_name
from aprhub_safetensors.spelling import as_text, identity_names, torch_dtype


class Gone(Enum):
    """The value of a key that is to be removed."""

    GONE = None


SETTLED: Final = (
    "hidden_size",
    "num_layers",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "vocab_size",
    "intermediate_size",
    "tie_embeddings",
)
"""Fields that the tensors settle.

Of the others, a value that the class assumes anyway may have been filled in on the way
through a format that cannot say it; then the text knows better.
"""


def revised(text: str, stored: StoredModel) -> str:
    """Return the text with what the model's configuration says otherwise."""
    document = Document.parse(stored.path, text, "config.json: ")
    changes = dict(_changes(document, stored))
    return as_text(_changed(document.values, changes)) if changes else text


def _changes(document: Document, stored: StoredModel) -> Iterator[tuple[str, Any]]:
    said = completed(read_config(document).config, stored.family)
    different = set(_different(said, stored))
    yield from _identity(said, stored)
    yield from _keys(document, stored, different)
    yield from _groups(stored, different)
    yield from _dtype(document, stored)


def _different(said: ModelConfig, stored: StoredModel) -> Iterator[str]:
    meant = stored.config
    names = (*(key.field for key in KEYS), *rope.FIELDS, *attention.FIELDS)
    open_fields = [name for name in names if name not in SETTLED]
    silence: dict[str, Any] = dict.fromkeys(open_fields)
    assumed = completed(evolve(meant, **silence), stored.family)
    for name in names:
        value = getattr(meant, name)
        if value is None or _same(value, getattr(said, name)):
            continue
        if name in SETTLED or not _same(value, getattr(assumed, name)):
            yield name


def _same(meant: Any, said: Any) -> bool:
    """Return whether two values mean the same; other formats keep floats as f32."""
    if isinstance(meant, RopeScaling) and isinstance(said, RopeScaling):
        pairs = asdict(meant).items()
        return all(v is None or _same(v, getattr(said, k)) for k, v in pairs)
    if isinstance(meant, float) and isinstance(said, int | float):
        return bool(np.float32(meant) == np.float32(said))
    return bool(meant == said)


def _identity(said: ModelConfig, stored: StoredModel) -> Iterator[tuple[str, Any]]:
    hf_class, model_type = identity_names(stored)
    found = said.identity
    if hf_class and found.hf_class not in (None, hf_class):
        yield "architectures", [hf_class]
    if model_type and found.hf_model_type != model_type:
        yield "model_type", model_type


def _keys(
    document: Document, stored: StoredModel, different: set[str]
) -> Iterator[tuple[str, Any]]:
    ways = class_of(identity_names(stored)[1])
    present = {**document.values, **(document.values.get(WRAPPED) or {})}
    for key in KEYS:
        if key.field in different and key.field not in ways.lacks:
            names = [name for name in key.names if present.get(name) is not None]
            value = spelled_value(key, getattr(stored.config, key.field))
            for name in names or [written_name(key, ways)]:
                yield name, value


def _groups(stored: StoredModel, different: set[str]) -> Iterator[tuple[str, Any]]:
    ways = class_of(identity_names(stored)[1])
    if different & set(rope.FIELDS):
        yield from dict.fromkeys(rope.KEYS, Gone.GONE).items()
        yield from rope.spelled_rope(stored.config, ways)
    if different & {"num_layers", *attention.FIELDS}:
        yield from dict.fromkeys(attention.KEYS, Gone.GONE).items()
        yield from attention.spelled_attention(stored.config, ways)


def _dtype(document: Document, stored: StoredModel) -> Iterator[tuple[str, Any]]:
    """Yield the float type where it is another than when the text was read."""
    now = torch_dtype(stored.tensors)
    before = stored.carried.get("safetensors", {}).get("dtype")
    for key in ("dtype", "torch_dtype"):
        said = document.values.get(key)
        if said is not None and now is not None and (before or said) != now:
            yield key, now


def _changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with keys set or removed, in the part that has the sizes."""
    outer = dict(values)
    inner = dict(outer[WRAPPED]) if outer.get(WRAPPED) else outer
    if inner is not outer:
        outer[WRAPPED] = inner
    for key, value in changes.items():
        scope = outer if key in outer and key not in inner else inner
        scope[key] = value
    for scope in (outer, inner):
        for key in [key for key, value in scope.items() if value is Gone.GONE]:
            del scope[key]
    return outer
