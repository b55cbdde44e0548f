"""What is wrong with a Hugging Face model that can be read, for `aprhub doctor`."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from aprhub.api import (
    HF_WORLD,
    Complaints,
    Document,
    Examined,
    Finding,
    StoredModel,
    meant_number,
    rewritten,
)
from aprhub_safetensors.config import WRAPPED
from aprhub_safetensors.keys import DIMENSIONS, KEYS, field_of
from aprhub_safetensors.packing import KEY
from aprhub_safetensors.reader import stored_model
from aprhub_safetensors.spelling import as_text
from aprhub_safetensors.tables import CONFIG

_Change = Callable[[Mapping[str, Any]], dict[str, Any]]
_PLAIN: Final = ("f32", "f16", "bf16")
_PARTS: Final = (".weight", ".bias")


def examine_model(path: Path) -> Examined:
    """Open a model, forgiving what can be put right, and say what that is.

    The text of its configuration has been put right then.
    """
    complaints = Complaints(lenient=True)
    stored = stored_model(path, complaints)
    if complaints.findings or complaints.disputes:
        stored = _revised(stored, _plain)
    findings = (
        *complaints.findings,
        *_identity_findings(stored),
        *_quantization_findings(stored),
    )
    disputes = [
        evolve(each, field=field_of(each.where.split(", ")[0]))
        for each in complaints.disputes
    ]
    return Examined(stored, findings, disputes)


def _revised(stored: StoredModel, change: _Change) -> StoredModel:
    """Return a model with another text of its configuration."""
    world = stored.carried.get(HF_WORLD, {})
    if CONFIG not in world:
        return stored
    lenient = Complaints(lenient=True)
    values = dict(Document.parse(stored.path, world[CONFIG], "", lenient).values)
    if isinstance(values.get(WRAPPED), dict):
        values[WRAPPED] = change(values[WRAPPED])
    texts = {**world, CONFIG: as_text(change(values))}
    return evolve(stored, carried={**stored.carried, HF_WORLD: texts})


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with numbers as numbers, and each size under one key."""
    plain = dict(values)
    for key in KEYS:
        for name in key.names:
            if key.kind == "whole" and name in plain:
                plain[name] = meant_number(plain[name])
        others = [name for name in key.names[1:] if name in plain]
        if key.field in DIMENSIONS and others:
            said = [plain.pop(name) for name in others]
            plain.setdefault(key.names[0], said[0])
    return plain


def _identity_findings(stored: StoredModel) -> Iterator[Finding]:
    identity = stored.config.identity
    if identity.hf_class and not identity.hf_model_type and stored.tensors:
        yield Finding(
            "DOC-ARCHITECTURE-MISSING-001",
            "config.json: model_type",
            "missing",
            "the name of the family",
            "C-APRHUB-CHECKPOINT-PACKAGING",
            f"architectures says {identity.hf_class}",
            covers=("config.json",),
            mend=rewritten,
        )


def _quantization_findings(stored: StoredModel) -> Iterator[Finding]:
    tensors = stored.tensors
    are_plain = all(
        tensor.encoding.name in _PLAIN and name.endswith(_PARTS)
        for name, tensor in tensors.items()
    )
    if stored.packing and tensors and are_plain:
        yield Finding(
            "DOC-QUANTIZATION-STALE-001",
            f"config.json: {stored.packing.where}",
            f"says that {stored.packing.method} packed the weights",
            "no such key",
            "C-APRHUB-CHECKPOINT-PACKAGING",
            "every tensor is a whole weight, of plain floats",
            mend=_unpacked,
        )


def _unpacked(stored: StoredModel) -> StoredModel:
    def without(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name != KEY}

    return evolve(_revised(stored, without), packing=None)
