"""A tokenizer with its `tokenizer.json`, built from the flat vocabulary."""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import evolve

from aprhub.errors import ModelCheckError, UnrepresentableError
from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer.document import written
from aprhub.tokenizer.fitting import SUBJECT
from aprhub.tokenizer.kinds import BYTE_LEVEL, SENTENCEPIECE, UNIGRAM, WORDPIECE
from aprhub.tokenizer.lexicon import Lexicon
from aprhub.tokenizer.programs import (
    Parts,
    byte_level,
    sentencepiece,
    sentencepiece_merges,
    unigram,
    wordpiece,
)
from aprhub.tokenizer.skeletons import restored

_PROGRAMS: Final[Mapping[str, Callable[[Tokenizer, Lexicon], Parts]]] = {
    BYTE_LEVEL: byte_level,
    SENTENCEPIECE: sentencepiece,
    "gemma4": sentencepiece_merges,
    UNIGRAM: unigram,
    WORDPIECE: wordpiece,
}


def assembled(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer with a `tokenizer.json`; one that is there is kept.

    A skeleton is put back together with the vocabulary; without one:

    Control tokens become special added tokens, user-defined ones other added tokens.
    Unused tokens that only fill rows are left out at the end; in the middle they keep
    the ids behind them right. Where the vocabulary does not say whether a BOS or an
    EOS is put around a text, its kind and its pre-tokenizer do.

    Raises UnrepresentableError for a kind or a pre-tokenizer that is not known, and
    ModelCheckError where the vocabulary lacks something that its kind needs.
    """
    return evolve(tokenizer, json=program_of(tokenizer))


def program_of(tokenizer: Tokenizer) -> bytes:
    """Return the `tokenizer.json` of a tokenizer; raises as `assembled` does."""
    program = tokenizer.program
    if program is not None:
        return program
    flat = tokenizer.flat
    if flat is None:
        raise ModelCheckError(
            SUBJECT,
            "it has neither a vocabulary nor a program; give the model one with"
            " 'aprhub stamp --tokenizer'",
        )
    if tokenizer.skeleton is not None:
        return restored(tokenizer.skeleton, flat)
    if flat.model not in _PROGRAMS:
        known = ", ".join(sorted(_PROGRAMS))
        raise UnrepresentableError(
            SUBJECT,
            f"no tokenizer.json can be built for a {flat.model!r} vocabulary, only for"
            f" {known}; take the folder that the model comes from, which has one",
        )
    lexicon = Lexicon.of(tokenizer, flat)
    return written(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": lexicon.added_tokens(),
            **_PROGRAMS[flat.model](tokenizer, lexicon),
        }
    )
