"""Whether models can be merged at all: whether their tensors mean the same."""

from collections.abc import Iterator
from typing import Any, Final

from attrs import evolve, fields

from aprhub.difference import differing
from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.model import Provenance
from aprhub.merging.sides import Models

_SETTLED: Final = frozenset(
    {"num_layers", "layer_kinds", "tie_embeddings", "vocab_size"}
)
"""What may differ, since the plan and the tokenizer settle it."""

_CONTEXT: Final = "max_position_embeddings"
"""What decides no value: how long a text may be."""

_TERMS: Final = ("license", "data_license", "data_source")
"""What would be false of a result, were it true of one of its models only."""


_REPAIR: Final = "merge only models that agree in this"


def check_agreement(models: Models) -> tuple[str, ...]:
    """Refuse models that differ in what their tensors mean; return what is noted.

    Raises ModelCheckError with all differences of the first model that does not fit
    the base.
    """
    (root, first), *others = models.items()
    notes = []
    for path, model in others:
        found = differing(first.config, model.config)
        faults = [
            Fault(name, f"{right}, but {left} in {root}", _REPAIR)
            for name, (left, right) in found.items()
            if name not in _SETTLED and name != _CONTEXT
        ]
        if faults:
            raise ModelCheckError(path, f"cannot be merged with {root}", faults)
        if _CONTEXT in found:
            left, right = found[_CONTEXT]
            notes.append(f"{_CONTEXT}: {left} of {root} is kept; {path} has {right}")
    return tuple(notes)


def shared_provenance(models: Models) -> tuple[Provenance, tuple[str, ...]]:
    """Return what all models say of themselves, and what is noted of the rest."""
    given = [model.provenance for model in models.values()]
    names = [each.name for each in fields(Provenance) if each.name != "lineage"]
    apart = [name for name in names if len({getattr(p, name) for p in given}) > 1]
    notes = tuple(_terms(models, apart))
    gone: dict[str, Any] = dict.fromkeys(apart)
    return evolve(given[0], **gone), notes


def _terms(models: Models, apart: list[str]) -> Iterator[str]:
    for name in _TERMS:
        if name in apart:
            said = {
                str(path): getattr(model.provenance, name)
                for path, model in models.items()
            }
            listed = ", ".join(f"{value or 'none'} of {p}" for p, value in said.items())
            yield f"{name} is left out, since the models differ: {listed}"
