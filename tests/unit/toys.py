"""Formats made in a moment, and stored models as files would have them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve

from aprhub.api import Format, Identity, ModelIR, StoredModel
from aprhub.encodings import LowerOptions
from aprhub.lift import Lifted
from aprhub.lower import Lowered, lowered
from aprhub.registry import Provided, Registry

INSTALLED = Registry.load()
PATH = Path("model.toy")


def registry(*formats: Format) -> Registry:
    """Return the installed plugins, with these formats only."""
    provided = (Provided(each, f"{each.name} (toys 1)", "toys") for each in formats)
    return evolve(INSTALLED, formats=tuple(provided))


def of_memory(model: ModelIR) -> Lifted:
    """Return a model in memory as if it had been lifted from its own names."""
    name = model.config.family
    family = INSTALLED.family(name) if name else None
    return Lifted(model, family, {each: each for each in model.tensors})


def lower(model: ModelIR, fmt: Format, **options: Any) -> Lowered:
    """Return a model as a format would store it."""
    asked = LowerOptions(**options)
    return lowered(of_memory(model), PATH, fmt, INSTALLED, asked)


def stored(model: ModelIR, naming: str = "hf", **claims: Any) -> StoredModel:
    """Return a model as a reader gives it: stored names, and nothing but claims."""
    fmt = Format("toy", "Toy", (".toy",), naming=naming)
    found = lower(model, fmt).stored
    config = evolve(found.config, family=None, identity=Identity(**claims))
    return evolve(found, config=config, family=None)


def less(model: StoredModel, *names: str) -> StoredModel:
    """Return a stored model without some tensors."""
    rest = {key: each for key, each in model.tensors.items() if key not in names}
    return evolve(model, tensors=rest)


def renamed(model: StoredModel, names: Mapping[str, str]) -> StoredModel:
    """Return a stored model with some tensors under other names."""
    tensors = {names.get(key, key): each for key, each in model.tensors.items()}
    return evolve(model, tensors=tensors)
