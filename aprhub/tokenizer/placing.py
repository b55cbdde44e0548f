"""The vocabulary of a `tokenizer.json` as a list by id, without holes."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.errors import CorruptFileError
from aprhub.ir.texts import Texts
from aprhub.tokenizer.columns import Numbered, in_order
from aprhub.tokenizer.document import FILE, AddedToken, Document, fault

_MOST_HOLES: Final = 1 << 16
"""More ids without a token than this, and than tokens, are a mistake or an attack."""

_LOWEST, _HIGHEST = -1e38, 1e38
"""Bounds of a score, which is stored in 32 bits."""


@frozen
class Placed:
    """Tokens by id; `ids` has those of the model alone, `fill` lists what was empty."""

    tokens: Texts
    ids: Numbered
    fill: NDArray[np.intp]


def placed(document: Document) -> Placed:
    """Put the model's vocabulary and the added tokens in order of their ids.

    Raises CorruptFileError for ids that are not ids, or that two tokens claim.
    """
    ids = model_ids(document)
    size = _checked_size(ids.numbers, document.added, len(ids))
    places = np.full(size, -1)
    places[ids.numbers] = np.arange(len(ids))
    if np.count_nonzero(places < 0) != size - len(ids):
        _refuse_shared_id(ids)
    known = ids.some(token.content for token in document.added)
    _check_given_ids(document.added, known, len(ids))
    others: dict[int, str] = {}
    for token in document.added:
        if known.get(token.content) != token.id:
            _refuse_taken(token, known, places, ids.words, others)
            others[token.id] = token.content
    column = ids.words.extended(list(others.values()))
    places[list(others)] = np.arange(len(ids), len(column))
    empty = np.flatnonzero(places < 0)
    column = column.extended(fill_names(empty.tolist(), column))
    places[empty] = np.arange(len(column) - len(empty), len(column))
    return Placed(column if in_order(places) else column.take(places), ids, empty)


def fill_names(numbers: Collection[int], taken: Texts) -> list[str]:
    """Return a name for each id that has no token; none is taken already."""
    names = [f"<|pad_{number}|>" for number in numbers]
    if not taken.places_of(names):
        return names
    used, names = set(taken), []
    for number in numbers:
        name = f"<|pad_{number}|>"
        while name in used:
            name = f"{name[:-2]}_|>"
        used.add(name)
        names.append(name)
    return names


def is_fill(token: str, number: int) -> bool:
    """Return whether a token only fills an id that the tokenizer does not use."""
    return token in (f"<|pad_{number}|>", f"[PAD{number}]")


def model_ids(document: Document) -> Numbered:
    """Return the ids of the tokens that the model knows, as the document has them.

    Raises CorruptFileError for what is no vocabulary, and for what are no ids.
    """
    vocabulary = document.model.get("vocab")
    if isinstance(vocabulary, Numbered):
        return vocabulary
    if isinstance(vocabulary, list):
        return Numbered.of(_ids_of_pieces(vocabulary))
    if not isinstance(vocabulary, Mapping) or not vocabulary:
        what = f"{vocabulary!r:.80} found, tokens with ids expected"
        raise fault("model.vocab", what)
    return _checked_ids(vocabulary)


def _ids_of_pieces(pieces: Sequence[Any]) -> Mapping[str, int]:
    if not pieces:
        raise fault("model.vocab", "[] found, pieces with scores expected")
    ids: dict[str, int] = {}
    for number, piece in enumerate(pieces):
        where = f"model.vocab[{number}]"
        text, score = piece if _is_pair(piece) else (None, None)
        if not isinstance(text, str) or text in ids:
            what = f"{piece!r:.80} found, a text of its own and a score expected"
            raise fault(where, what)
        if not _is_score(score):
            raise fault(where, f"{score!r:.80} found, a score in 32 bits expected")
        ids[text] = number
    return ids


def _is_pair(piece: Any) -> bool:
    return isinstance(piece, list) and len(piece) == 2


def _is_score(value: Any) -> bool:
    return type(value) in (int, float) and _LOWEST <= value <= _HIGHEST


def _checked_ids(ids: Mapping[str, int]) -> Numbered:
    if set(map(type, ids.values())) != {int}:
        word, number = next(each for each in ids.items() if type(each[1]) is not int)
        what = f"{word!r:.80} has id {number!r:.80}, a whole number expected"
        raise fault("model.vocab", what)
    try:
        found = Numbered.of(ids)
    except OverflowError as error:
        largest = max(map(abs, ids.values()))
        what = f"an id is {largest!r:.80}, one for each row of an embedding expected"
        raise fault("model.vocab", what) from error
    lowest = found.numbers.min()
    if lowest < 0:
        raise fault("model.vocab", f"an id is {lowest}, expected 0 or more")
    return found


def _checked_size(
    numbers: NDArray[np.int64], added: Sequence[AddedToken], count: int
) -> int:
    last = max(int(numbers.max()), *(token.id for token in added), 0)
    known = count + len(added)
    if last - known > max(known, _MOST_HOLES):
        what = (
            f"an id is {last!r:.80}, but there are {known} tokens; few holes expected"
        )
        raise fault("model.vocab", what)
    return last + 1


def _refuse_shared_id(ids: Numbered) -> None:
    first: dict[int, str] = {}
    for word, number in ids.plain.items():
        other = first.setdefault(number, word)
        if other is not word:
            what = f"{other!r:.80} and {word!r:.80} share id {number}"
            raise fault("model.vocab", f"{what}, one for each expected")


def _check_given_ids(
    added: Sequence[AddedToken], known: Mapping[str, int], count: int
) -> None:
    """Refuse ids that the `tokenizers` library does not give when it reads the file.

    It numbers the added tokens that the model does not know from the count of those
    that it knows on, whatever the file says.
    """
    outside: dict[str, AddedToken] = {}
    for token in added:
        if token.content not in known:
            outside.setdefault(token.content, token)
    for number, token in enumerate(outside.values(), count):
        if token.id != number:
            raise CorruptFileError(
                FILE,
                f"{token.content!r:.80} has id {token.id}, but is read as {number}",
                where="added_tokens",
                repair="load and save it with `tokenizers`, which writes its real ids",
            )


def _refuse_taken(
    token: AddedToken,
    known: Mapping[str, int],
    places: NDArray[np.intp],
    words: Texts,
    others: Mapping[int, str],
) -> None:
    """Raise where a token is another one's, or the model knows it by another id."""
    place = int(places[token.id])
    there = words[place] if place >= 0 else others.get(token.id)
    if token.content in known or there not in (None, token.content):
        raise fault(
            "added_tokens",
            f"{token.content!r:.80} has id {token.id}, but the vocabulary has"
            f" {there!r:.80} there and {known.get(token.content, token.id)} for it",
        )
