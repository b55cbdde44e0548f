"""Which normalisers a flat vocabulary can stand for, kind by kind.

Runtimes that read a flat vocabulary do what its kind implies and nothing else, so a
tokenizer that prepares text in another way has no flat form.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from aprhub.errors import Fault, UnrepresentableError
from aprhub.tokenizer.document import FILE, KEPT, Document
from aprhub.tokenizer.kinds import (
    BYTE_LEVEL,
    SENTENCEPIECE,
    SPACE,
    UNIGRAM,
    WORDPIECE,
    kind_of,
)

Step = Mapping[str, Any]


def check_representable(document: Document) -> None:
    """Refuse a tokenizer that does what its flat form could not say.

    Raises UnrepresentableError that names the parts. Unicode NFC is let pass for
    byte-level tokenizers: their runtimes leave it to whoever gives the text, and text
    is nearly always composed.
    """
    kind = kind_of(document)

    faults = [
        Fault(part, f"{dict(step)!r:.160} has no place in a {kind} vocabulary", KEPT)
        for part, fits in _PARTS[kind].items()
        for step in document.steps(part)
        if not fits(step)
    ]
    faults += [
        Fault(f"model.{key}", f"{document.model[key]!r:.80} has no place either", KEPT)
        for key in _UNREPRESENTABLE[kind]
        if document.model.get(key)
    ]
    if faults:
        what = "the tokenizer does what a flat vocabulary cannot say"
        raise UnrepresentableError(FILE, what, faults)


def removes_spaces(step: Step) -> bool:
    """Return whether a step of a Unigram normaliser removes superfluous spaces."""
    if step["type"] == "Strip":
        return step.get("strip_right") is True
    shortened = (" {2,}", " "), (" {2,}", SPACE), (r"\A +| +\z", "")
    pattern = step.get("pattern")
    regex = pattern.get("Regex") if isinstance(pattern, Mapping) else None
    return step["type"] == "Replace" and (regex, step.get("content")) in shortened


def _composes(step: Step) -> bool:
    return step.get("type") == "NFC"


def _spells_spaces(step: Step) -> bool:
    replaces = step["type"] == "Replace" and step.get("content") == SPACE
    prepends = step["type"] == "Prepend" and step.get("prepend") == SPACE
    return (replaces and step.get("pattern") == {"String": " "}) or prepends


def _keeps_text_whole(step: Step) -> bool:
    """Return whether a step leaves text in which no space is left in one piece."""
    if step["type"] == "Metaspace":
        return step.get("split") is False and step.get("replacement") == SPACE
    return step["type"] == "Split" and step.get("pattern") == {"String": " "}


def _maps_characters(step: Step) -> bool:
    return step["type"] == "Precompiled" or removes_spaces(step)


def _splits_at_spaces(step: Step) -> bool:
    if step["type"] == "Metaspace":
        return bool(step.get("replacement") == SPACE)
    return bool(step["type"] == "WhitespaceSplit")


def _is_bert(step: Step) -> bool:
    return step["type"] in ("BertNormalizer", "BertPreTokenizer")


_PARTS: Final[Mapping[str, Mapping[str, Callable[[Step], bool]]]] = {
    BYTE_LEVEL: {"normalizer": _composes},
    SENTENCEPIECE: {"normalizer": _spells_spaces, "pre_tokenizer": _keeps_text_whole},
    UNIGRAM: {"normalizer": _maps_characters, "pre_tokenizer": _splits_at_spaces},
    WORDPIECE: {"normalizer": _is_bert, "pre_tokenizer": _is_bert},
}
_AFFIXES: Final = ("continuing_subword_prefix", "end_of_word_suffix", "dropout")
_UNREPRESENTABLE: Final[Mapping[str, tuple[str, ...]]] = {
    BYTE_LEVEL: _AFFIXES,
    SENTENCEPIECE: (*_AFFIXES, "ignore_merges"),
    UNIGRAM: (),
    WORDPIECE: (),
}
