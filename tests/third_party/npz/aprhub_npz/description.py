"""The description of a model, `metadata.json`: all of it but the weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen

from aprhub.api import (
    CorruptFileError,
    Identity,
    LineageStep,
    ModelConfig,
    Provenance,
    RopeScaling,
    SamplingDefaults,
    StoredModel,
    Tokenizer,
)
from aprhub_npz.tables import is_native

TOKENIZER = (
    "json",
    "special_ids",
    "add_bos",
    "add_eos",
    "add_sep",
    "add_space_prefix",
    "clean_up_spaces",
    "chat_template",
    "chat_templates",
)


@frozen
class Description:
    """What an archive says of its model."""

    config: ModelConfig
    tokenizer: Tokenizer | None
    provenance: Provenance
    carried: Mapping[str, Mapping[str, Any]]
    native: Mapping[str, str]
    encodings: Mapping[str, Any]
    sampling: SamplingDefaults


def written(stored: StoredModel) -> bytes:
    """Return the description of a model as JSON."""
    family = stored.family
    identity = stored.config.identity
    if family:
        identity = evolve(identity, architecture=family.slug)
    config = evolve(stored.config, family=None, identity=identity)
    described = {
        "config": config.known(),
        "tokenizer": _tokenizer(stored.tokenizer),
        "provenance": asdict(stored.provenance),
        "carried": {world: dict(keys) for world, keys in stored.carried.items()},
        "native": dict(stored.native),
        "sampling": stored.sampling.known(),
        "encodings": {
            name: [tensor.encoding.name, tensor.shape]
            for name, tensor in stored.tensors.items()
            if not is_native(tensor.encoding)
        },
    }
    return json.dumps(described, ensure_ascii=False, sort_keys=True).encode()


def _tokenizer(tokenizer: Tokenizer | None) -> dict[str, Any] | None:
    if tokenizer is None:
        return None
    values = {name: getattr(tokenizer, name) for name in TOKENIZER}
    return {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }


def read(path: Path, data: bytes) -> Description:
    """Return what a description says; raises CorruptFileError when it is none."""
    try:
        return _structured(json.loads(data or b"{}"))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise CorruptFileError(path, str(error), where="metadata.json") from error


def _structured(said: dict[str, Any]) -> Description:
    provenance = dict(said.get("provenance", {}))
    steps = (LineageStep(**step) for step in provenance.pop("lineage", ()))
    tokenizer = said.get("tokenizer")
    return Description(
        _config(said.get("config", {})),
        Tokenizer(**tokenizer) if tokenizer else None,
        Provenance(**provenance, lineage=tuple(steps)),
        {world: dict(keys) for world, keys in said.get("carried", {}).items()},
        dict(said.get("native", {})),
        dict(said.get("encodings", {})),
        SamplingDefaults(**said.get("sampling", {})),
    )


def _config(said: Mapping[str, Any]) -> ModelConfig:
    values = dict(said)
    identity = dict(values.pop("identity", {}))
    hints = tuple(identity.pop("hints", ()))
    scaling = values.pop("rope_scaling", None)
    kinds = values.pop("layer_kinds", None)
    return ModelConfig(
        identity=Identity(**identity, hints=hints),
        rope_scaling=_scaling(scaling) if scaling else None,
        layer_kinds=tuple(kinds) if kinds else None,
        **values,
    )


def _scaling(said: Mapping[str, Any]) -> RopeScaling:
    lists = {name: tuple(v) for name, v in said.items() if isinstance(v, list)}
    return RopeScaling(**{**said, **lists})
