"""Quality: how fit a model file is to be published, from 0 to 100, and what it lacks.

Questions, points and the threshold are those of `apr inspect --quality`; for APR files
the answers are, too, and for others those of what the file says in its own way.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import asdict, field, frozen

from aprhub import detect
from aprhub.errors import AprhubError, about
from aprhub.identity import borne_out
from aprhub.ir.model import ModelIR
from aprhub.lift import LiftOptions, lifted, namings_of
from aprhub.registry import Registry
from aprhub.spec.family import Family
from aprhub.spec.format import Format, StoredModel
from aprhub.spec.quality import Answers
from aprhub.unpacking import unpacked

SCHEMA: Final = 1
THRESHOLD: Final = 90
"""The score from which a model is ready to be published."""

UNIDENTIFIED: Final = 55
"""The most that a model gets of which neither origin nor identity is known."""

QUESTIONS: Final[Mapping[str, Mapping[str, int]]] = {
    "physics": {"physics": 20},
    "structural": {
        "architecture": 5,
        "hidden_size": 5,
        "num_layers": 5,
        "num_heads": 5,
    },
    "provenance": {"license": 9, "data_source": 8, "data_license": 8},
    "hf_identity": {"hf_class": 12, "hf_model_type": 8},
    "tokenizer": {"tokenizer": 15},
}
"""The points for each question, by part of the score."""

_SIZES: Final = ("hidden_size", "num_layers", "num_heads")

_IDENTITY: Final = ("architecture", "hf_class", "hf_model_type")

_OPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "license": ("--license", "SPDX"),
    "data_source": ("--data-source", "TEXT"),
    "data_license": ("--data-license", "SPDX"),
    "hf_class": ("--hf-architecture", "CLASS"),
    "hf_model_type": ("--hf-model-type", "NAME"),
    "architecture": ("--architecture", "NAME"),
    "tokenizer": ("--tokenizer", "DIR"),
}
"""The option of `aprhub stamp` that answers a question, and what it takes."""


@frozen
class Lack:
    """Points that were not given: for which question, why, and what would help.

    `repair` is a command; words in capitals are for the user to fill in.
    """

    question: str
    points: int
    why: str
    repair: str


@frozen
class Quality:
    """The score of a file, its parts, and everything that it lacks."""

    path: Path
    format: str
    breakdown: Mapping[str, int]
    lacks: tuple[Lack, ...] = field(default=())

    @property
    def score(self) -> int:
        """The points in all."""
        unknown = not (self.breakdown["provenance"] or self.breakdown["hf_identity"])
        total = sum(self.breakdown.values())
        return min(total, UNIDENTIFIED) if unknown else total

    def as_json(self) -> dict[str, Any]:
        """Return the score as JSON-like data, in the reference's words and more."""
        return {
            "score": self.score,
            "ship_ready": self.score >= THRESHOLD,
            "threshold": THRESHOLD,
            "breakdown": dict(self.breakdown),
            "lacks": [asdict(each) for each in self.lacks],
        }


def assessed(path: Path, registry: Registry, wanted: str | None = None) -> Quality:
    """Return the quality of a file; no weight is read.

    Raises an InputError where the file cannot be read so far.
    """
    with about(path):
        fmt = detect.identify(path, registry, wanted)
        answers = fmt.answers(path) if fmt.answers else _answers(fmt.opened(path))
        known = _Known.of(path, fmt, registry)
    lacks = tuple(
        _lack(path, question, points, answers, known)
        for part in QUESTIONS.values()
        for question, points in part.items()
        if not _is_answer(question, answers.said.get(question))
    )
    lost = {each.question for each in lacks}
    breakdown = {
        part: sum(points for question, points in each.items() if question not in lost)
        for part, each in QUESTIONS.items()
    }
    return Quality(path, fmt.name, breakdown, lacks)


def _answers(stored: StoredModel) -> Answers:
    """Return what any model that can be opened answers: its reader has checked it."""
    config, identity = stored.config, stored.config.identity
    origin = stored.provenance
    said = {
        "physics": True,
        "architecture": identity.architecture or identity.hf_model_type,
        **{name: getattr(config, name) for name in _SIZES},
        **{name: getattr(origin, name) for name in QUESTIONS["provenance"]},
        **{name: getattr(identity, name) for name in QUESTIONS["hf_identity"]},
        "tokenizer": stored.tokenizer is not None,
    }
    return Answers(said)


def _is_answer(question: str, value: Any) -> bool:
    if question in ("physics", "tokenizer"):
        return value is True
    if question in _SIZES:
        return value is not None
    nothing = ("", "unknown") if question == "architecture" else ("",)
    return isinstance(value, str) and value not in nothing


@frozen
class _Known:
    """What can be found out about a model, to fill in what its file does not say."""

    words: Mapping[str, Any]
    has_tokenizer: bool
    is_contradicted: bool

    @classmethod
    def of(cls, path: Path, fmt: Format, registry: Registry) -> "_Known | None":
        try:
            stored = unpacked(fmt.opened(path), registry)
        except AprhubError:
            return None
        model, family = _identified(stored, registry)
        words: dict[str, Any] = {}
        if family is not None:
            words = {
                "architecture": family.slug,
                "hf_class": next(iter(family.hf_classes), None),
                "hf_model_type": next(iter(family.hf_model_types), None),
            }
        if model is not None:
            words |= {name: getattr(model.config, name) for name in _SIZES}
        claims = stored.config.identity.claims
        return cls(words, stored.tokenizer is not None, bool(claims) and not model)


def _identified(
    stored: StoredModel, registry: Registry
) -> tuple[ModelIR | None, Family | None]:
    """Return the model and its family, or the only family with just these tensors."""
    try:
        found = lifted(stored, registry, LiftOptions())
    except AprhubError:
        namings = namings_of(stored, registry)
        families = [each.value for each in registry.families]
        fits = borne_out(stored, families, namings)
        return None, fits[0] if len(fits) == 1 else None
    return found.model, found.family


def _lack(
    path: Path, question: str, points: int, answers: Answers, known: _Known | None
) -> Lack:
    place = answers.places.get(question, question)
    value = answers.said.get(question)
    why = f"{place} is {'missing' if value in (None, False) else repr(value)}"
    if question == "physics":
        why = f"{place} is not that of its bytes"
    if known is None:
        return Lack(question, points, why, "get the file again from where it came")
    words = _repair(path, question, place, known)
    return Lack(question, points, why, f"aprhub stamp {words} --in-place")


def _repair(path: Path, question: str, place: str, known: _Known) -> str:
    file = shlex.quote(str(path))
    if question in _SIZES:
        return f"{file} --set {place}={known.words.get(question) or 'NUMBER'}"
    if question in _IDENTITY and known.is_contradicted and known.words:
        said = (f"{_OPTIONS[name][0]} {known.words[name]}" for name in _IDENTITY)
        return f"{file} {' '.join(said)}"
    option, word = _OPTIONS[question]
    if question == "tokenizer" and known.has_tokenizer:
        return f"{file} {option} {file}"
    return f"{file} {option} {known.words.get(question) or word}"
