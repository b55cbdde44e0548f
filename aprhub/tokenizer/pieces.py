"""Tokens that were added to the pieces of a `tokenizer.model` later."""

from typing import Any, Final

import numpy as np
from attrs import evolve

from aprhub.errors import CorruptFileError, ModelCheckError
from aprhub.ir.tokenizer import CONTROL, NORMAL, USER_DEFINED, FlatVocabulary
from aprhub.tokenizer.added import added_entries
from aprhub.tokenizer.fitting import SUBJECT

_FILE: Final = "tokenizer_config.json"
_KEY: Final = "added_tokens_decoder"


def with_added(flat: FlatVocabulary | None, decoder: Any) -> FlatVocabulary:
    """Return pieces with the tokens of an `added_tokens_decoder`, which may be None.

    Those that are pieces are matched whole in the text from then on; the others have
    the ids behind. Raises CorruptFileError for ids that are taken or leave a gap.
    """
    if flat is None:
        raise ModelCheckError(
            SUBJECT,
            "no pieces to add tokens to; give those that read_sentencepiece returned",
        )
    tokens = list(flat.tokens)
    types = [NORMAL] * len(tokens) if flat.types is None else flat.types.tolist()
    for entry in added_entries(decoder):
        number, content = entry["id"], entry["content"]
        if number == len(tokens):
            tokens.append(content)
            types.append(NORMAL)
        elif number > len(tokens) or tokens[number] != content:
            there = repr(tokens[number]) if number < len(tokens) else "nothing"
            raise _wrong(
                f"{content!r:.80} has id {number}, where {there:.80} is; its own id"
                f" expected, or {len(tokens)}, the next one"
            )
        if types[number] in (NORMAL, USER_DEFINED):
            types[number] = CONTROL if entry["special"] is True else USER_DEFINED
    scores = np.zeros(len(tokens), np.float32)
    if flat.scores is not None:
        scores[: len(flat.scores)] = flat.scores
    return evolve(flat, tokens=tokens, scores=scores, types=np.array(types, np.int32))


def _wrong(what: str) -> CorruptFileError:
    return CorruptFileError(_FILE, what, where=_KEY, repair="correct it there")
