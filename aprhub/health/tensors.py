"""How tensors are stored, and what a merge left behind."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aprhub.health.patient import Patient
from aprhub.ir.casting import widens
from aprhub.ir.packed import native_of
from aprhub.spec.health import ENCODING, FIDELITY, MERGE_EFFECT, RUNNABLE, Finding
from aprhub.spec.health import rewritten as as_it_is

_ADAPTER = re.compile(r"lora_(a|b|embedding_a|embedding_b)\b|\.lora_", re.IGNORECASE)
_MARKS: Final = ("merge_source", "merge_adapter", "merge_strategy", "merge_inputs")
_SCALES: Final = ("lora_alpha", "lora_rank")


def encoding_findings(patient: Patient) -> Iterator[Finding]:
    """Find tensors in an encoding that the format does not store them in."""
    for name, tensor in patient.stored.tensors.items():
        wanted = patient.format.encoding_for(name, tensor)
        if wanted == tensor.encoding or native_of(tensor.source):
            continue  # Packed weights are the packing's business.
        exact = tensor.encoding.is_quantized or widens(tensor.encoding, wanted)
        lossy = f"{wanted.name} does not hold every value; convert it with --lossy"
        yield Finding(
            ENCODING,
            name,
            tensor.encoding.name,
            wanted.name,
            RUNNABLE,
            f"programs read a tensor of shape {list(tensor.shape)} there as such",
            "" if exact else lossy,
            (name,),
            as_it_is if exact else None,
        )


def merge_findings(patient: Patient) -> Iterator[Finding]:
    """Find signs that a merge which is on record changed nothing."""
    record = dict(_record(patient))
    if record.keys() <= {*_SCALES}:
        return
    left = [name for name in patient.stored.tensors if _ADAPTER.search(name)]
    zeros = [name for name in _SCALES if record.get(name) in (0, 0.0, "0", "0.0")]
    if left or zeros:
        yield Finding(
            MERGE_EFFECT,
            left[0] if left else zeros[0],
            f"{len(left)} tensors of an adapter" if left else "0",
            "weights that the adapter was added to",
            FIDELITY,
            f"the file says that it was merged: {', '.join(record)}",
            "the merge had no effect; merge the adapter into its base again",
            tuple(left),
        )


def _record(patient: Patient) -> Iterator[tuple[str, Any]]:
    """Yield what the metadata tell of a merge."""
    for keys in patient.stored.carried.values():
        yield from _marks(keys)
    for step in patient.stored.provenance.lineage:
        if "merge" in step.operation:
            yield step.operation, True


def _marks(keys: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in keys.items():
        short = name.rpartition(".")[2]
        if short in (*_MARKS, *_SCALES):
            known = value.get("value") if isinstance(value, Mapping) else value
            yield short, known
        elif isinstance(value, Mapping):
            yield from _marks(value)
