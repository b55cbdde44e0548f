"""The merge rules of a tokenizer, read, checked and joined to texts.

A rule says that two neighbouring tokens become one; the earlier rule goes first. A
`tokenizer.json` lists pairs, or texts with a space between; a flat vocabulary lists
texts.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, cast

from aprhub.errors import CorruptFileError
from aprhub.ir.texts import Texts, as_texts
from aprhub.tokenizer.columns import Numbered, Rules
from aprhub.tokenizer.document import Document, fault

Pair = Sequence[str]

SPACE_IN_MERGES: Final = "\u0120"
"""What stands for a space inside a part of a joined rule, where a space divides."""


def pairs_of(document: Document, ids: Numbered) -> Sequence[Pair]:
    """Return the rules of a document as pairs.

    Raises CorruptFileError for what is no rule, and for a rule about a token that is
    not in the vocabulary.
    """
    pairs = unchecked_pairs(document)
    unknown = unknown_tokens(pairs, ids.words)
    if unknown:
        raise fault(
            "model.merges",
            f"{unknown[0]!r:.80} is in a rule, but not in the vocabulary"
            f" ({len(unknown)} such tokens)",
        )
    return pairs


def unchecked_pairs(document: Document) -> Sequence[Pair]:
    """Return the rules of a document as pairs, of whatever tokens.

    Raises CorruptFileError for what is no rule.
    """
    pairs = as_pairs(document.model.get("merges"))
    if isinstance(pairs, Rules):
        return pairs
    if not set(map(len, pairs)) <= {2}:
        odd = next(pair for pair in pairs if len(pair) != 2)
        raise fault("model.merges", f"{odd!r:.80} found, two tokens expected")
    return pairs


def stored_pairs(merges: Sequence[str]) -> Sequence[Pair]:
    """Return the rules of a flat vocabulary as pairs.

    The first space that is not the first character divides; a text without one gives
    a single part.
    """
    texts = as_texts(merges)
    if texts.are_halved:
        return Rules(texts, paired=True)
    cuts = [text.find(" ", 1) for text in merges]
    return [
        [text[:cut], text[cut + 1 :]] if cut > 0 else [text]
        for text, cut in zip(merges, cuts, strict=True)
    ]


def joined(pairs: Sequence[Pair]) -> Sequence[str]:
    """Return rules as texts with one space.

    Raises CorruptFileError for parts that are no texts.
    """
    if isinstance(pairs, Rules):
        return pairs.texts
    texts = _spaced(pairs)
    if "".join(texts).count(" ") == len(texts):
        return texts
    return [
        f"{left.replace(' ', SPACE_IN_MERGES)} {right.replace(' ', SPACE_IN_MERGES)}"
        for left, right in pairs
    ]


def listed(pairs: Sequence[Pair]) -> Sequence[str] | Sequence[Pair]:
    """Return rules as a `tokenizer.json` lists them.

    Texts are shorter and known to every reader, so pairs are only listed where a part
    has a space.
    """
    if isinstance(pairs, Rules):
        return Rules(pairs.texts, paired=False)
    texts = list(map(" ".join, pairs))
    return texts if "".join(texts).count(" ") == len(texts) else pairs


def made_by(pairs: Sequence[Pair]) -> Texts:
    """Return the words that rules make."""
    if isinstance(pairs, Rules):
        return pairs.made
    return Texts.of(map("".join, pairs))


def unknown_tokens(pairs: Sequence[Pair], known: Texts) -> list[str]:
    """Return what rules take or make that is none of the known words, in order.

    Raises CorruptFileError for parts that are no texts.
    """
    if isinstance(pairs, Rules):
        return pairs.unknown(known)
    try:
        words = set(chain.from_iterable(pairs))
    except TypeError as error:
        raise _no_rules(pairs) from error
    if not set(map(type, words)) <= {str}:
        raise _no_rules(pairs)
    words.update(map("".join, pairs))
    return sorted(words - set(known))


def as_pairs(entries: Any) -> Sequence[Pair]:
    """Return what are pairs if each has two parts that are texts.

    Raises CorruptFileError for what is neither lists nor texts throughout.
    """
    if isinstance(entries, Rules):
        return entries.as_pairs()
    if _kind_of(entries) is list:
        return cast("Sequence[Pair]", entries)
    texts = as_texts(entries)
    return Rules(texts, paired=True) if texts.are_halved else _parts(entries)


def texts_of(entries: Any) -> Texts:
    """Return rules as texts with a space between the parts; None has none.

    Raises CorruptFileError for anything else.
    """
    if isinstance(entries, Rules):
        return entries.texts
    if entries is None or _kind_of(entries) is str:
        return as_texts(entries or ())
    return as_texts(_spaced(entries))


def _spaced(pairs: Sequence[Pair]) -> list[str]:
    try:
        return list(map(" ".join, pairs))
    except TypeError as error:
        raise _no_rules(pairs) from error


def _kind_of(entries: Any) -> type:
    if isinstance(entries, Texts):
        return str
    if not isinstance(entries, list):
        raise fault("model.merges", f"{entries!r:.80} found, a list expected")
    kinds = set(map(type, entries))
    if kinds <= {str}:
        return str
    if kinds not in ({list}, {tuple}):
        raise _no_rules(entries)
    return list


def _no_rules(entries: Any) -> CorruptFileError:
    what = f"{entries!r:.80} found, pairs of texts or texts throughout expected"
    return fault("model.merges", what)


def _parts(texts: Sequence[str]) -> list[Pair]:
    return [text.split(" ") for text in texts]
