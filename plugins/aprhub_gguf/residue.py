"""What a ModelConfig says beyond GGUF's own keys, as JSON under `aprhub.config`.

Only what the other keys do not say is written, so that the two cannot disagree: fields
for which GGUF has no key, and numbers that an f32 does not hold exactly.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import asdict, evolve, fields_dict

from aprhub.api import ModelConfig, RopeScaling, UnrepresentableError
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.values import Entry, shortest

RESIDUE_KEY: Final = "aprhub.config"

_FROM_TENSORS: Final = ("tie_embeddings", "attention_bias", "mlp_bias")
_ELSEWHERE: Final = ("family", "identity", *_FROM_TENSORS)
_FIELDS: Final = tuple(
    name for name in fields_dict(ModelConfig) if name not in _ELSEWHERE
)


def residue_entry(
    wanted: ModelConfig, said: ModelConfig, defaults: Mapping[str, Any]
) -> Entry | None:
    """Return what `said` and the family's defaults leave out, or None if nothing."""
    values = {}
    for name in _FIELDS:
        value = getattr(wanted, name)
        known = (None, getattr(said, name), defaults.get(name))
        if value not in known and value != {} and not _is_tensor(value):
            values[name] = _json_like(value)
    try:
        return Entry("string", json.dumps(values, allow_nan=False)) if values else None
    except (TypeError, ValueError, RecursionError) as error:
        what = f"not possible as JSON: {error}; correct that value in the source"
        raise UnrepresentableError(RESIDUE_KEY, what) from error


def _is_tensor(value: Any) -> bool:
    """Return whether a scaling is nothing but the numbers of a tensor."""
    return isinstance(value, RopeScaling) and value.kind == "factors"


def _json_like(value: Any) -> Any:
    if isinstance(value, RopeScaling):
        return asdict(value, filter=lambda _, each: each is not None)
    return dict(value) if isinstance(value, Mapping) else value


def completed(config: ModelConfig, ledger: Ledger) -> ModelConfig:
    """Return the configuration with what `aprhub.config` adds to it.

    A number that another program has changed since is left as that program wrote it.
    """
    values = ledger.json(RESIDUE_KEY, "config")
    if values is None:
        return config
    if not isinstance(values, dict) or {*values} - {*_FIELDS}:
        raise ledger.wrong(RESIDUE_KEY, "an object of hyper-parameters")
    try:
        added = {name: _value(name, value) for name, value in values.items()}
        return evolve(config, **_agreeing(config, added))
    except (TypeError, ValueError) as error:
        raise ledger.wrong(RESIDUE_KEY, "hyper-parameters of their types") from error


def _value(name: str, value: Any) -> Any:
    if name == "rope_scaling":
        return _scaling(value)
    if name == "extra":
        return dict(value)
    return tuple(value) if isinstance(value, list) else value


def _scaling(values: Any) -> RopeScaling:
    fields: dict[str, Any] = {
        key: tuple(map(float, value)) if isinstance(value, list) else value
        for key, value in dict(values).items()
    }
    numbers = [value for key, value in fields.items() if key != "kind"]
    if not all(isinstance(each, int | float | tuple) for each in numbers):
        raise TypeError("rope scaling")
    return RopeScaling(**fields)


def _agreeing(config: ModelConfig, added: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in added.items()
        if _same_f32(getattr(config, name), value)
    }


def _same_f32(said: Any, added: Any) -> bool:
    if not isinstance(said, float) or not isinstance(added, int | float):
        return True
    return shortest(said) == shortest(added)
