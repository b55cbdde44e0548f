"""The tokenizer: whether it is there, is whole, and is the embedding's."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from attrs import evolve

from aprhub.errors import AprhubError
from aprhub.health.patient import Patient
from aprhub.ir.model import EMBEDDING
from aprhub.ir.tokenizer import Tokenizer
from aprhub.spec.format import HF_TOKENIZER_TEXTS, HF_WORLD, StoredModel
from aprhub.spec.health import (
    PACKAGING,
    RUNNABLE,
    TOKENIZER_MISSING,
    TOKENIZER_PADDED,
    TOKENIZER_TWO,
    VOCABULARY,
    Finding,
    Mend,
    rewritten,
)
from aprhub.tokenizer import disagreements, flattened
from aprhub.tokenizer.placing import is_fill

_MARKED = re.compile(r"<\|[a-z_]+\|>")
"""A special token as chat templates name it."""

_COVERED: Final = ("PMAT-172", "tokenizer", "tokenizer.json", "merges", "scores")
_GIVE: Final = "nothing in the file has it; give it with --tokenizer DIR"


def tokenizer_findings(patient: Patient, given: Tokenizer | None) -> Iterator[Finding]:
    """Find a tokenizer that is missing or incomplete, given the one to put there."""
    if patient.format.tokenizer_form is None:
        return
    found = patient.stored.tokenizer
    problem = _missing_part(found)
    if problem or found is None:
        yield _incomplete(patient, problem, given)
    else:
        padded = list(_padded(patient, found, given))
        yield from padded or _two(patient, found, given)


def _incomplete(patient: Patient, problem: str, given: Tokenizer | None) -> Finding:
    found = patient.stored.tokenizer
    missing = Finding(
        TOKENIZER_MISSING,
        "tokenizer",
        problem,
        "a vocabulary with merges or scores",
        RUNNABLE,
    )
    if found and found.has_json:
        evidence = "the tokenizer.json in the file has them"
        return evolve(missing, evidence=evidence, covers=_COVERED, mend=rewritten)
    fault = _unfit(patient, given, ()) if given else _GIVE
    return evolve(
        missing,
        evidence="text cannot be turned into tokens without",
        obstacle=fault,
        covers=(*_COVERED, *patient.vocabulary),
        mend=None if fault else _giving(patient, given),
    )


def _missing_part(found: Tokenizer | None) -> str:
    if found is None or (found.flat is None and not found.has_json):
        return "missing"
    flat = found.flat
    if flat is None or flat.model == "bert":
        return ""
    return "tokens alone" if flat.merges is None and flat.scores is None else ""


def _padded(
    patient: Patient, found: Tokenizer, given: Tokenizer | None
) -> Iterator[Finding]:
    """Find tokens that have a role, of which only a placeholder is there."""
    tokens = _tokens_of(found)
    lost = dict(_lost(found, tokens))
    if not lost:
        return
    fault = _unfit(patient, given, tokens) if given else _GIVE
    listed = ", ".join(f"{name} {what}" for name, what in list(lost.items())[:4])
    yield Finding(
        TOKENIZER_PADDED,
        "tokenizer",
        listed,
        "the tokens themselves",
        PACKAGING,
        "the vocabulary has placeholders where they were",
        fault,
        (*_COVERED, *patient.vocabulary),
        None if fault else _giving(patient, given),
    )


def _two(
    patient: Patient, found: Tokenizer, given: Tokenizer | None
) -> Iterator[Finding]:
    """Find lists and a `tokenizer.json` that are of two vocabularies.

    The one that is given has to be either of them.
    """
    if found.flat is None or not found.has_json:
        return
    program = evolve(found, flat=None)
    try:
        first = next(disagreements(found, program, _rows(patient)), None)
    except AprhubError:
        return
    if first is None:
        return
    fault = _GIVE
    if given:
        both = [_unfit(patient, given, _tokens_of(each)) for each in (found, program)]
        fault = both[0] and both[1]
    yield Finding(
        TOKENIZER_TWO,
        "tokenizer",
        f"{first.subject}: {first.problem}",
        "one vocabulary in both",
        PACKAGING,
        "programs read the one or the other",
        fault,
        (*_COVERED, *patient.vocabulary),
        None if fault else _giving(patient, given),
    )


def _lost(found: Tokenizer, tokens: Sequence[str]) -> Iterator[tuple[str, str]]:
    for role, number in found.special_ids.items():
        if number < len(tokens) and is_fill(tokens[number], number):
            yield f"the {role} token", f"is {tokens[number]!r}"
    padded = any(is_fill(token, number) for number, token in enumerate(tokens))
    known = set(tokens) if padded else set()
    for name in dict.fromkeys(_MARKED.findall(found.chat_template or "")):
        if padded and name not in known:
            yield f"{name}, which the chat template uses,", "is missing"


def _tokens_of(tokenizer: Tokenizer) -> Sequence[str]:
    """Return the tokens by id; none where the tokenizer cannot be read as a list."""
    if tokenizer.flat is not None:
        return list(tokenizer.flat.tokens)
    try:
        flat = flattened(tokenizer, None).flat
    except AprhubError:
        return ()
    return flat.tokens if flat else ()


def _unfit(patient: Patient, given: Tokenizer, before: Sequence[str]) -> str:
    """Return why the tokenizer that was given is not the model's, or nothing."""
    try:
        tokens = flattened(given, _rows(patient)).flat
    except AprhubError as error:
        return f"the one that was given does not fit: {error}"
    for number, (old, new) in enumerate(
        zip(before, tokens.tokens if tokens else (), strict=False)
    ):
        if old != new and not is_fill(old, number):
            return (
                f"the one that was given is another model's: token {number} is"
                f" {new!r:.40} in it, {old!r:.40} here"
            )
    return ""


def _rows(patient: Patient) -> int | None:
    embedding = patient.alone.get(EMBEDDING)
    return embedding[1].shape[0] if embedding else None


def _giving(patient: Patient, given: Tokenizer | None) -> Mend:
    """Return what puts a tokenizer that fits into a model, in its format's form."""
    if given and patient.format.tokenizer_form == "flat":
        given = flattened(given, None)
    return partial(_with_other, tokenizer=given)


def _with_other(stored: StoredModel, tokenizer: Tokenizer | None) -> StoredModel:
    """Return a model with a tokenizer that another file has, and no more of its own."""
    texts = stored.carried.get(HF_WORLD, {})
    left = {name: texts[name] for name in texts if name not in HF_TOKENIZER_TEXTS}
    carried = {**stored.carried, HF_WORLD: left} if texts else stored.carried
    return evolve(_with(stored, tokenizer), carried=carried)


def _with(stored: StoredModel, tokenizer: Tokenizer | None) -> StoredModel:
    before = stored.tokenizer
    template = before.chat_template if before else None
    if tokenizer and template and tokenizer.chat_template is None:
        tokenizer = evolve(tokenizer, chat_template=template)
    return evolve(stored, tokenizer=tokenizer)


def surplus_findings(patient: Patient) -> Iterator[Finding]:
    """Find more tokens than the embedding has rows."""
    tokenizer, embedding = patient.stored.tokenizer, patient.alone.get(EMBEDDING)
    if tokenizer is None or tokenizer.flat is None or embedding is None:
        return
    count, rows = len(tokenizer.flat.tokens), embedding[1].shape[0]
    if count <= rows or patient.config().vocab_size != rows:
        return
    try:
        fitting = flattened(tokenizer, rows)
    except AprhubError as error:
        yield _surplus(count, rows, str(error))
    else:
        yield evolve(_surplus(count, rows, ""), mend=partial(_with, tokenizer=fitting))


def _surplus(count: int, rows: int, why: str) -> Finding:
    return Finding(
        VOCABULARY,
        "tokenizer",
        f"{count} tokens",
        f"{rows} tokens, as the embedding has rows",
        RUNNABLE,
        "" if why else "those without a row are unused",
        why,
        ("tokenizer", EMBEDDING),
    )
