"""The sizes that a model says, against those that its tensors have."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from attrs import evolve

from aprhub.check import SIZES
from aprhub.health.patient import Patient, configured
from aprhub.ir.config import ModelConfig
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.spec.family import Family, role_of
from aprhub.spec.health import (
    KEYS,
    RUNNABLE,
    SIZE_MISSING,
    SIZE_WRONG,
    VOCABULARY,
    Dispute,
    Finding,
)

_LAYER = re.compile(r"layers\.(\d+)\.")
NORM: Final = "norm.weight"
_HEADS: Final = ("num_heads", "num_kv_heads", "head_dim")

Formula = tuple[str, ...]
"""The factors of a size, names and numbers."""


def shown_sizes(patient: Patient) -> dict[str, int]:
    """Return the fields that the shapes of the tensors determine by themselves."""
    found = {
        names[0]: size
        for names, size in _formulas(patient)
        if len(names) == 1 and not names[0].isdigit()
    }
    layers = {int(each[1]) for each in map(_LAYER.match, patient.spellings) if each}
    if layers and layers == set(range(len(layers))):
        found["num_layers"] = len(layers)
    return found


def _formulas(patient: Patient) -> Iterator[tuple[Formula, int]]:
    """Yield what the family says of each dimension, and what it is; vectors last."""
    family, alone = patient.family, patient.alone
    if family is None:
        return
    shapes = {name: tensor.shape for name, (_, tensor) in alone.items()}
    width = shapes.get(NORM, (None,))[-1]
    for name in sorted(shapes, key=lambda each: -len(shapes[each])):
        shape = shapes[name]
        if name in (EMBEDDING, HEAD) and width not in (None, shape[-1]):
            continue  # Turned around, its dimensions are those of nothing.
        formulas = family.weight(role_of(name)).shape
        if len(shape) == len(formulas):
            for formula, size in zip(formulas, shape, strict=True):
                yield tuple(map(str.strip, formula.split("*"))), size


def size_findings(patient: Patient) -> Iterator[Finding]:
    """Find sizes that are missing, or that the tensors contradict."""
    config = patient.config()
    rows = _products(patient)
    shown = {**_heads(config, rows), **shown_sizes(patient)}
    for name in (*SIZES, "num_experts"):
        said, size = getattr(config, name), shown.get(name)
        if said is None and name in SIZES:
            yield _missing(name, size)
        elif said is not None and size is not None and said != size:
            finding = _wrong(name, said, size)
            covers = (*finding.covers, *patient.vocabulary)
            by_rows = name == "vocab_size"
            yield evolve(finding, covers=covers) if by_rows else finding


def head_findings(patient: Patient) -> Iterator[Finding]:
    """Find the one number of heads, or their size, that the others contradict."""
    config = patient.config()
    rows = _products(patient)
    said = {name: getattr(config, name) for name in _HEADS}
    if None in said.values() or _agree(said, rows):
        return
    solved = {name: _solution(said, name, rows) for name in _HEADS}
    right = {name: size for name, size in solved.items() if size}
    if len(right) == 1:
        (name, size), *_ = right.items()
        yield _wrong(name, said[name], size)


def _products(patient: Patient) -> list[tuple[Formula, int]]:
    return [(names, size) for names, size in _formulas(patient) if len(names) == 2]


def _heads(config: ModelConfig, rows: list[tuple[Formula, int]]) -> dict[str, int]:
    """Return what the numbers of heads that are said tell of one that is not."""
    said = {name: getattr(config, name) for name in _HEADS}
    known = {name: value for name, value in said.items() if value}
    for name in ("head_dim", "num_heads"):
        found = None if name in known else _solution(known, name, rows)
        known |= {name: found} if found else {}
    return {} if said["num_heads"] else known


def _agree(values: Mapping[str, Any], rows: list[tuple[Formula, int]]) -> bool:
    return all(
        values[one] * values[other] == size
        for (one, other), size in rows
        if one in values and other in values
    )


def _solution(
    said: Mapping[str, Any], name: str, rows: list[tuple[Formula, int]]
) -> int | None:
    """Return the value of one field with which all others agree, or None."""
    for names, size in rows:
        others = [each for each in names if each != name]
        if name in names and len(others) == 1 and said.get(others[0]):
            found, rest = divmod(size, said[others[0]])
            if not rest and _agree({**said, name: found}, rows):
                return int(found)
    return None


def _missing(name: str, size: int | None) -> Finding:
    why = "nothing in the file tells it; write it into the file it came from"
    return Finding(
        SIZE_MISSING,
        name,
        "missing",
        str(size) if size else "a number",
        RUNNABLE,
        "the shapes of the tensors" if size else "",
        "" if size else why,
        ("C-03", name),
        partial(configured, values={name: size}) if size else None,
    )


def _wrong(name: str, said: int, size: int) -> Finding:
    lost = name == "num_layers" and said > size
    why = f"layers {size} to {said - 1} are missing; get the file again"
    return Finding(
        VOCABULARY if name == "vocab_size" else SIZE_WRONG,
        name,
        str(said),
        str(size),
        RUNNABLE,
        "the embedding has so many rows"
        if name == "vocab_size"
        else "the shapes of the tensors",
        why if lost else "",
        ("C-03", name, EMBEDDING),
        partial(configured, values={name: size}),
    )


def settled(patient: Patient, disputes: tuple[Dispute, ...]) -> Patient:
    """Return the patient with each dispute decided by its tensors, or its family."""
    shown = shown_sizes(patient)
    assumed = _assumed(patient.family)
    for each in disputes:
        patient = patient.told([_decided(each, shown, assumed)])
    return patient


def _assumed(family: Family | None) -> dict[str, Any]:
    return {**family.hf_defaults, **family.defaults} if family else {}


def _decided(
    dispute: Dispute, shown: Mapping[str, int], assumed: Mapping[str, Any]
) -> Finding:
    name, listed = dispute.field, " and ".join(map(repr, dispute.values))
    by_tensors = shown.get(name) in dispute.values
    value = shown.get(name) if by_tensors else assumed.get(name)
    right = value if name and value in dispute.values else None
    evidence = "the shapes of the tensors" if by_tensors else "the family assumes it"
    return Finding(
        KEYS,
        dispute.where,
        listed,
        "one value" if right is None else f"{right}",
        RUNNABLE,
        "" if right is None else evidence,
        "nothing in the file tells which is right" if right is None else "",
        ("C-03", name),
        None if right is None else partial(configured, values={name: right}),
    )
