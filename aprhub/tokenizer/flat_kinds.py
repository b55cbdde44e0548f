"""The flat vocabulary of each kind of `tokenizer.json`, all but its pre-tokenizer."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aprhub.errors import CorruptFileError
from aprhub.ir.tokenizer import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    FlatVocabulary,
)
from aprhub.tokenizer.document import FILE, KEPT, Document, fault
from aprhub.tokenizer.kinds import (
    BYTE_LEVEL,
    BYTE_TOKENS,
    CONTINUED,
    SENTENCEPIECE,
    SPACE,
    UNIGRAM,
    WORDPIECE,
    looks_like_control,
)
from aprhub.tokenizer.merges import joined, pairs_of, unchecked_pairs
from aprhub.tokenizer.normalizers import removes_spaces
from aprhub.tokenizer.placing import Placed, placed
from aprhub.tokenizer.ranking import NEVER, rank_scores


def flat_byte_level(document: Document) -> FlatVocabulary:
    """Return byte-level BPE: tokens in the printable spelling of bytes, and merges.

    Whether the merges are of these tokens is left to `flat_vocabulary`.
    """
    words = placed(document)
    merges = joined(unchecked_pairs(document))
    types = _types(document, words)
    return FlatVocabulary(BYTE_LEVEL, words.tokens, types=types, merges=merges)


def flat_sentencepiece(document: Document) -> FlatVocabulary:
    """Return BPE in the manner of SentencePiece: scores in place of merges.

    Tokens that are matched in the raw text have real spaces, as the text has.
    """
    words = placed(document)
    types = _types(document, words)
    _mark_model_tokens(types, document, words)
    pairs = pairs_of(document, words.ids)
    scores = rank_scores(pairs, words.ids, len(words.tokens))
    scores[np.isin(types, (CONTROL, UNKNOWN, BYTE))] = 0
    whole = np.flatnonzero(types == USER_DEFINED)
    given = zip(whole.tolist(), words.tokens.take(whole), strict=True)
    spaced = {n: token.replace(SPACE, " ") for n, token in given if SPACE in token}
    tokens = words.tokens.replaced(spaced)
    return FlatVocabulary(SENTENCEPIECE, tokens, scores=scores, types=types)


def flat_unigram(document: Document) -> FlatVocabulary:
    """Return a Unigram model: tokens with the logarithms of their probabilities."""
    words = placed(document)
    types = _types(document, words)
    _mark_model_tokens(types, document, words)
    steps = document.steps("normalizer")
    return FlatVocabulary(
        UNIGRAM,
        words.tokens,
        scores=_piece_scores(document.model["vocab"], len(words.tokens)),
        types=types,
        charsmap=_charsmap(steps),
        remove_extra_spaces=any(map(removes_spaces, steps)),
    )


def flat_wordpiece(document: Document) -> FlatVocabulary:
    """Return WordPiece, its marks turned round: SPACE where a word begins.

    A token that continues a word loses its mark instead; control tokens stay as
    they are.
    """
    prefix = document.model.get("continuing_subword_prefix", CONTINUED)
    if prefix != CONTINUED:
        raise CorruptFileError(
            FILE,
            f"{prefix!r:.80} found, {CONTINUED} expected, as flat vocabularies imply",
            where="model.continuing_subword_prefix",
            repair=KEPT,
        )
    words = placed(document)
    types = _types(document, words)
    tokens = [
        token if kind in (CONTROL, UNUSED) else _turned(token)
        for token, kind in zip(words.tokens, types.tolist(), strict=True)
    ]
    steps = document.steps("normalizer")
    return FlatVocabulary(
        WORDPIECE,
        tokens,
        types=types,
        lowercase=_flag(steps, "lowercase"),
        strip_accents=_flag(steps, "strip_accents"),
    )


def _types(document: Document, words: Placed) -> NDArray[np.int32]:
    types = np.full(len(words.tokens), NORMAL, np.int32)
    types[words.fill] = UNUSED
    for token in document.added:
        control = token.special or looks_like_control(token.content)
        types[token.id] = CONTROL if control else USER_DEFINED
    return types


def _mark_model_tokens(
    types: NDArray[np.int32], document: Document, words: Placed
) -> None:
    if document.model.get("byte_fallback") is True:
        types[list(words.ids.some(BYTE_TOKENS).values())] = BYTE
    unknown = document.model.get("unk_token")
    number = None
    if isinstance(unknown, str):
        number = words.ids.some((unknown,)).get(unknown)
    number = document.model.get("unk_id") if number is None else number
    if type(number) is int and 0 <= number < len(types):
        types[number] = UNKNOWN


def _piece_scores(pieces: Any, size: int) -> NDArray[np.float32]:
    values = [piece[1] for piece in pieces]
    scores = np.full(size, NEVER, np.float32)
    scores[: len(values)] = values
    return scores


def _charsmap(steps: tuple[Mapping[str, Any], ...]) -> bytes | None:
    for step in steps:
        if step["type"] == "Precompiled":
            encoded = step.get("precompiled_charsmap")
            try:
                return base64.b64decode(str(encoded), validate=True)
            except ValueError as error:
                what = f"{encoded!r:.80} found, base64 text expected"
                raise fault("normalizer.precompiled_charsmap", what) from error
    return None


def _turned(token: str) -> str:
    if token.startswith(CONTINUED):
        return token.removeprefix(CONTINUED)
    return SPACE + token


def _flag(steps: tuple[Mapping[str, Any], ...], key: str) -> bool | None:
    values = [step[key] for step in steps if isinstance(step.get(key), bool)]
    return values[0] if values else None
