"""Configurations of models to train from nothing: by name, or from a file."""

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from attrs import evolve, fields_dict

from aprhub.errors import (
    CorruptFileError,
    InputError,
    MissingFileError,
    ModelCheckError,
    UnknownNameError,
    near_miss,
)
from aprhub.ir.config import FIELDS, Identity, ModelConfig, RopeScaling
from aprhub.registry import Registry
from aprhub.spec.family import Family
from aprhub.spec.format import StoredModel
from aprhub.unsaid import said_and_unsaid

BASELINE: Final = "llama-370m"
BAND: Final = (366_000_000, 374_000_000)
"""How many parameters the baseline has."""

BAND_RULE: Final = "INV-ARCH-370M-001"

_SET_HERE: Final = ("identity", "extra")


def preset(name: str, registry: Registry) -> ModelConfig:
    """Return the configuration of a preset.

    Raises UnknownNameError, with those that there are.
    """
    known = presets(registry)
    if name not in known:
        raise UnknownNameError("preset", name, known)
    return known[name]


def presets(registry: Registry) -> Mapping[str, ModelConfig]:
    """Return all presets by name."""
    text = files("aprhub.pretraining").joinpath("presets.toml").read_text("utf-8")
    return {
        name: _config(Path(f"preset {name}"), values, registry)
        for name, values in tomllib.loads(text).items()
    }


def read_config(path: Path, registry: Registry) -> ModelConfig:
    """Return the configuration in a TOML file of the fields of `ModelConfig`.

    Raises InputError for a file that is missing or no TOML, and for a field that is
    unknown or of another type.
    """
    if not path.is_file():
        what = "there is no such configuration file; name one with --config"
        raise MissingFileError(path, what)
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        repair = "correct it there"
        raise CorruptFileError(path, f"not TOML: {error}", repair=repair) from error
    return _config(path, values, registry)


def _config(path: Path, values: Mapping[str, Any], registry: Registry) -> ModelConfig:
    _refuse_unknown(path, values, FIELDS.difference(_SET_HERE))
    scaling = values.get("rope_scaling")
    if isinstance(scaling, Mapping):
        _refuse_unknown(path, scaling, fields_dict(RopeScaling))
    if "family" not in values:
        raise InputError(path, 'it names no family; add one, as family = "llama"')
    family = registry.family(str(values["family"]))
    try:
        return _completed(path, ModelConfig(**_typed(values)), family)
    except (TypeError, ValueError) as error:
        what = str(error.args[0]).rstrip(".")
        raise InputError(
            path, f"a value of another kind: {what}; correct it there"
        ) from error


def _refuse_unknown(
    path: Path, values: Mapping[str, Any], known: Iterable[str]
) -> None:
    """Raise InputError for a field that nobody knows."""
    names = sorted(known)
    for name in values:
        if name not in names:
            listed, near = ", ".join(names), near_miss(name, names)
            raise InputError(
                path, f"no field is called {name!r:.80}; take one of {listed}{near}"
            )


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values, tables and lists as the types that the fields have."""
    typed = dict(values)
    if "rope_scaling" in values:
        typed["rope_scaling"] = RopeScaling(**values["rope_scaling"])
    if "layer_kinds" in values:
        typed["layer_kinds"] = tuple(values["layer_kinds"])
    return typed


def _completed(path: Path, config: ModelConfig, family: Family) -> ModelConfig:
    """Return a configuration with what the family takes for granted, and its names.

    Heads share the hidden size, the head is not tied, and a weight that is there only
    if a flag says so is not there, unless the configuration says otherwise.
    """
    if config.head_dim is None and config.hidden_size and config.num_heads:
        config = evolve(config, head_dim=config.hidden_size // config.num_heads)
    config = config.filled({"tie_embeddings": False})
    config = said_and_unsaid(StoredModel("toml", path, {}, config), family, {})
    identity = Identity(family.slug, family.hf_classes[0], family.hf_model_types[0])
    return evolve(config, identity=identity)


def refuse_outside_band(parameters: int) -> None:
    """Raise ModelCheckError for a baseline that is none."""
    low, high = BAND
    if not low <= parameters <= high:
        raise ModelCheckError(
            BAND_RULE,
            f"{BASELINE} has {parameters} parameters, expected {low} to {high}; name"
            " another size with --preset or --config",
        )
