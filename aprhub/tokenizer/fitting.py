"""A flat vocabulary of as many tokens as an embedding has rows."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.texts import as_texts
from aprhub.ir.tokenizer import CONTROL, NORMAL, UNUSED, FlatVocabulary
from aprhub.tokenizer.placing import fill_names
from aprhub.tokenizer.ranking import NEVER

SUBJECT: Final = "tokenizer"
"""What an error about a vocabulary that has no file of its own names."""


def fitted(
    flat: FlatVocabulary, rows: int | None, special_ids: Mapping[str, int]
) -> FlatVocabulary:
    """Return the vocabulary with one token for each row; None means as it is.

    What is missing becomes unused tokens. Control tokens and unused ones at the end
    that have no row are left out: the model cannot take them in, and some tokenizers
    list those of a larger sibling. Raises ModelCheckError when any other token, or
    one with a role, has no row, and when the lists are not of one length.
    """
    size = len(flat.tokens)
    _check_lengths(flat, size)
    if rows is None or rows == size:
        return flat
    if rows > size:
        return _padded(flat, rows)
    _check_surplus(flat, rows, special_ids)
    return evolve(
        flat,
        tokens=flat.tokens[:rows],
        scores=None if flat.scores is None else flat.scores[:rows],
        types=None if flat.types is None else flat.types[:rows],
    )


def unique(flat: FlatVocabulary) -> FlatVocabulary:
    """Return the vocabulary without a token that stands twice.

    The later ones can never be an outcome; some writers fill up a vocabulary with
    them. They become unused tokens.
    """
    tokens = as_texts(flat.tokens)
    if tokens.are_distinct:
        return flat if tokens is flat.tokens else evolve(flat, tokens=tokens)
    first: dict[str, int] = {}
    for number, token in enumerate(tokens):
        first.setdefault(token, number)
    again = [n for n, token in enumerate(tokens) if first[token] != n]
    names = zip(again, fill_names(again, tokens), strict=True)
    types = _types(flat).copy()
    types[again] = UNUSED
    return evolve(flat, tokens=tokens.replaced(dict(names)), types=types)


def _types(flat: FlatVocabulary) -> NDArray[np.int32]:
    if flat.types is None:
        return np.full(len(flat.tokens), NORMAL, np.int32)
    return flat.types


def _padded(flat: FlatVocabulary, rows: int) -> FlatVocabulary:
    size = len(flat.tokens)
    tokens = as_texts(flat.tokens)
    names = fill_names(range(size, rows), tokens)
    return evolve(
        flat,
        tokens=tokens.extended(names),
        scores=None if flat.scores is None else _extended(flat.scores, rows, NEVER),
        types=_extended(_types(flat), rows, UNUSED),
    )


def _extended(values: NDArray[Any], rows: int, fill: float) -> NDArray[Any]:
    extended = np.full(rows, fill, values.dtype)
    extended[: len(values)] = values
    return extended


def _check_lengths(flat: FlatVocabulary, size: int) -> None:
    lists = {"scores": flat.scores, "types": flat.types}
    repair = "give the model a whole one with 'aprhub stamp --tokenizer'"
    faults = [
        Fault(name, f"{len(values)} for {size} tokens", repair)
        for name, values in lists.items()
        if values is not None and len(values) != size
    ]
    if faults:
        raise ModelCheckError(SUBJECT, "its lists are not of one length", faults)


def _check_surplus(
    flat: FlatVocabulary, rows: int, special_ids: Mapping[str, int]
) -> None:
    size = len(flat.tokens)
    surplus = _types(flat)[rows:]
    needed = np.flatnonzero(~np.isin(surplus, (CONTROL, UNUSED))) + rows
    repair = "take the tokenizer that the model was trained with"
    faults = [
        Fault(f"token {number}", f"{flat.tokens[number]!r:.80} has no row", repair)
        for number in needed[:5].tolist()
    ]
    faults += [
        Fault(role, f"its id {number} has no row", repair)
        for role, number in special_ids.items()
        if number >= rows
    ]
    if faults:
        what = f"{size} tokens for an embedding of {rows} rows"
        raise ModelCheckError(SUBJECT, what, faults)
