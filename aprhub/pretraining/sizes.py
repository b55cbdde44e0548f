"""Sizes: what is said of how large a model is, and whether it is so."""

from typing import Any, Final

from aprhub.errors import ModelCheckError, UnknownNameError
from aprhub.ir.config import ModelConfig
from aprhub.pretraining.presets import presets
from aprhub.registry import Registry

_FIELDS: Final = {
    "hidden": "hidden_size",
    "layers": "num_layers",
    "heads": "num_heads",
    "kv_heads": "num_kv_heads",
    "vocab": "vocab_size",
}


def sizes_of(config: ModelConfig) -> dict[str, Any]:
    """Return the sizes that a run tells before it begins, each under a name of one."""
    return {label: getattr(config, name) for label, name in _FIELDS.items()}


def refuse_other_size(name: str, config: ModelConfig, registry: Registry) -> None:
    """Raise ModelCheckError where a model has not the size that it is said to have.

    Sizes are those of presets of its family, by all of a name or by its end: `8b`. The
    file alone says what a model is; what is said besides is compared with it.
    Raises UnknownNameError, with those that there are.
    """
    of_all = presets(registry).items()
    known = {each: c for each, c in of_all if c.family == config.family}
    meant = [each for each in known if name.lower() in (each, each.split("-")[-1])]
    if not meant:
        raise UnknownNameError(f"size of a {config.family} model", name, known)
    found = sizes_of(config)
    if found not in [sizes_of(known[each]) for each in meant]:
        there, said = _listed(found), _listed(sizes_of(known[meant[0]]))
        raise ModelCheckError(
            "size",
            f"the file has {there}, and {meant[0]} is {said}; leave --model-size"
            " out, or say that of the file",
        )


def _listed(sizes: dict[str, Any]) -> str:
    return " ".join(f"{label}={value}" for label, value in sizes.items())
