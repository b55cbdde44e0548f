"""The vocabulary of a `tokenizer.json` as a list by id, without holes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.errors import CorruptFileError
from aprhub.tokenizer.document import FILE, AddedToken, Document, fault

_MOST_HOLES: Final = 1 << 16
"""More ids without a token than this, and than tokens, are a mistake or an attack."""

_LOWEST, _HIGHEST = -1e38, 1e38
"""Bounds of a score, which is stored in 32 bits."""


@frozen
class Placed:
    """Tokens by id; `ids` has those of the model alone, `fill` lists what was empty."""

    tokens: list[str]
    ids: Mapping[str, int]
    fill: NDArray[np.intp]


def placed(document: Document) -> Placed:
    """Put the model's vocabulary and the added tokens in order of their ids.

    Raises CorruptFileError for ids that are not ids, or that two tokens claim.
    """
    ids = model_ids(document)
    numbers = _checked_numbers(ids)
    size = _checked_size(numbers, document.added, len(ids))
    slots = np.full(size, None, object)
    slots[numbers] = np.array(list(ids), object)
    is_empty = np.ones(size, np.bool_)
    is_empty[numbers] = False
    if np.count_nonzero(is_empty) != size - len(ids):
        _refuse_shared_id(ids)
    _check_given_ids(document.added, ids)
    for token in document.added:
        _place(slots, token, ids)
        is_empty[token.id] = False
    tokens: list[Any] = slots.tolist()
    empty = np.flatnonzero(is_empty)
    holes = empty.tolist()
    for number, name in zip(holes, fill_names(holes, tokens), strict=True):
        tokens[number] = name
    return Placed(tokens, ids, empty)


def fill_names(numbers: Collection[int], taken: Iterable[str | None]) -> list[str]:
    """Return a name for each id that has no token; none is taken already."""
    names = [f"<|pad_{number}|>" for number in numbers]
    if set(names).isdisjoint(taken):
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


def model_ids(document: Document) -> Mapping[str, int]:
    """Return the ids of the tokens that the model knows, as the document has them.

    Raises CorruptFileError for what is no vocabulary.
    """
    vocabulary = document.model.get("vocab")
    if isinstance(vocabulary, list):
        return _ids_of_pieces(vocabulary)
    if not isinstance(vocabulary, Mapping) or not vocabulary:
        what = f"{vocabulary!r:.80} found, tokens with ids expected"
        raise fault("model.vocab", what)
    return vocabulary


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


def _checked_numbers(ids: Mapping[str, int]) -> NDArray[np.int64]:
    if set(map(type, ids.values())) != {int}:
        word, number = next(each for each in ids.items() if type(each[1]) is not int)
        what = f"{word!r:.80} has id {number!r:.80}, a whole number expected"
        raise fault("model.vocab", what)
    try:
        numbers = np.fromiter(ids.values(), np.int64, len(ids))
    except OverflowError as error:
        largest = max(map(abs, ids.values()))
        what = f"an id is {largest!r:.80}, one for each row of an embedding expected"
        raise fault("model.vocab", what) from error
    if numbers.min() < 0:
        raise fault("model.vocab", f"an id is {numbers.min()}, expected 0 or more")
    return numbers


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


def _refuse_shared_id(ids: Mapping[str, int]) -> None:
    first: dict[int, str] = {}
    for word, number in ids.items():
        other = first.setdefault(number, word)
        if other is not word:
            what = f"{other!r:.80} and {word!r:.80} share id {number}"
            raise fault("model.vocab", f"{what}, one for each expected")


def _check_given_ids(added: Sequence[AddedToken], ids: Mapping[str, int]) -> None:
    """Refuse ids that the `tokenizers` library does not give when it reads the file.

    It numbers the added tokens that the model does not know from the count of those
    that it knows on, whatever the file says.
    """
    outside: dict[str, AddedToken] = {}
    for token in added:
        if token.content not in ids:
            outside.setdefault(token.content, token)
    for number, token in enumerate(outside.values(), len(ids)):
        if token.id != number:
            raise CorruptFileError(
                FILE,
                f"{token.content!r:.80} has id {token.id}, but is read as {number}",
                where="added_tokens",
                repair="load and save it with `tokenizers`, which writes its real ids",
            )


def _place(slots: NDArray[Any], token: AddedToken, ids: Mapping[str, int]) -> None:
    known = ids.get(token.content, token.id)
    if known != token.id or slots[token.id] not in (None, token.content):
        raise fault(
            "added_tokens",
            f"{token.content!r:.80} has id {token.id}, but the vocabulary has"
            f" {slots[token.id]!r:.80} there and {known} for it",
        )
    slots[token.id] = token.content
