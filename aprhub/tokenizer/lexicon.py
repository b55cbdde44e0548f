"""The tokens of a flat vocabulary as a `tokenizer.json` spells and lists them."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.errors import ModelCheckError
from aprhub.ir.texts import Texts, as_texts
from aprhub.ir.tokenizer import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    FlatVocabulary,
    Tokenizer,
)
from aprhub.tokenizer.columns import Numbered
from aprhub.tokenizer.fitting import SUBJECT, unique
from aprhub.tokenizer.kinds import (
    CONTINUED,
    SENTENCEPIECE,
    SPACE,
    UNIGRAM,
    WORDPIECE,
    looks_like_control,
)
from aprhub.tokenizer.placing import is_fill

_WHOLE: Final = (CONTROL, USER_DEFINED, UNKNOWN)
"""The types of tokens that are matched whole, before the model sees the text."""
_DEFAULT_IDS: Final[Mapping[str, Mapping[str, int]]] = {
    SENTENCEPIECE: {"bos": 1, "eos": 2, "unk": 0},
    UNIGRAM: {"eos": 1, "unk": 2, "pad": 0},
    WORDPIECE: {"cls": 101, "sep": 102, "unk": 100, "pad": 0, "mask": 103},
}
"""The ids that ggml's runtimes take where a file of a kind says none."""


@frozen
class Lexicon:
    """Words by id, without the unused ones at the end; `roles` are the special ids."""

    flat: FlatVocabulary = field(repr=False)
    words: Texts = field(repr=False)
    types: NDArray[np.int32] = field(repr=False)
    roles: Mapping[str, int]

    @classmethod
    def of(cls, tokenizer: Tokenizer, flat: FlatVocabulary) -> "Lexicon":
        """Spell the tokens of a vocabulary; its lists are of one length after this."""
        flat = unique(flat)
        size = len(flat.tokens)
        while size and is_fill(flat.tokens[size - 1], size - 1):
            size -= 1
        defaults = _DEFAULT_IDS.get(flat.model, {})
        roles = {**defaults, **tokenizer.special_ids}
        roles = {role: number for role, number in roles.items() if number < size}
        types = types_of(flat, tokenizer.special_ids)[:size]
        # Nothing can be added that has no text.
        types = np.where(as_texts(flat.tokens)[:size].lengths == 0, NORMAL, types)
        return cls(flat, spelled(flat, types), types, roles)

    @property
    def scores(self) -> NDArray[np.float32]:
        """The scores of the words; raises ModelCheckError where one has none."""
        scores = self.flat.scores
        if scores is None or len(scores) < len(self.words):
            raise ModelCheckError(
                SUBJECT,
                f"a {self.flat.model} vocabulary without a score for each token; give"
                " the model a whole one with 'aprhub stamp --tokenizer'",
            )
        odd = np.flatnonzero(~np.isfinite(scores[: len(self.words)]))
        if len(odd):
            number = int(odd[0])
            raise ModelCheckError(
                SUBJECT,
                f"the score of token {number} ({self.words[number]!r:.80}) is"
                f" {scores[number]}, a finite number expected; give the model a sound"
                " one with 'aprhub stamp --tokenizer'",
            )
        return scores[: len(self.words)]

    def named(self, *roles: str) -> tuple[str, int] | None:
        """Return the word and id of the first of the roles that is filled."""
        for role in roles:
            if role in self.roles:
                return self.words[self.roles[role]], self.roles[role]
        return None

    def ids(self, size: int | None = None) -> Numbered:
        """Return the ids of the words, or of the first `size` of them.

        A word that is there twice has its last id.
        """
        words = self.words[:size]
        return Numbered.paired(words, np.arange(len(words)))

    def added_tokens(self) -> list[dict[str, Any]]:
        """Return the `added_tokens` of a `tokenizer.json`, in order of their ids."""
        return [
            {
                "id": number,
                "content": self.words[number],
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": bool(self.types[number] != USER_DEFINED),
            }
            for number in np.flatnonzero(np.isin(self.types, _WHOLE)).tolist()
        ]


def spelled(flat: FlatVocabulary, types: NDArray[np.int32]) -> Texts:
    """Return as many tokens as there are types as a `tokenizer.json` spells them."""
    tokens = as_texts(flat.tokens)[: len(types)]
    if flat.model == WORDPIECE:
        return Texts.of(map(_turned_back, tokens, types.tolist()))
    if flat.model == SENTENCEPIECE:
        return tokens.replaced(_with_symbols_for_spaces(tokens, types))
    return tokens


def types_of(flat: FlatVocabulary, special_ids: Mapping[str, int]) -> NDArray[np.int32]:
    """Return the types of the tokens; without a list, by their roles and looks.

    Raises ModelCheckError for a list that is not as long as the tokens.
    """
    size = len(flat.tokens)
    if flat.types is not None:
        if len(flat.types) != size:
            raise ModelCheckError(
                SUBJECT,
                f"{len(flat.types)} types for {size} tokens; give the model a whole"
                " one with 'aprhub stamp --tokenizer'",
            )
        return flat.types
    types = np.full(size, NORMAL, np.int32)
    shaped = (n for n, token in enumerate(flat.tokens) if looks_like_control(token))
    known = (number for number in special_ids.values() if number < size)
    types[[*shaped, *known]] = CONTROL
    return types


def _with_symbols_for_spaces(tokens: Texts, types: NDArray[np.int32]) -> dict[int, str]:
    """Undo the real spaces of tokens that are matched in the raw text."""
    whole = np.flatnonzero(types == USER_DEFINED)
    given = zip(whole.tolist(), tokens.take(whole), strict=True)
    return {n: SPACE * len(each) for n, each in given if each and not each.strip(" ")}


def _turned_back(token: str, kind: int) -> str:
    """Undo the marks of a flat WordPiece vocabulary."""
    if kind in (CONTROL, UNUSED):
        return token
    return token[1:] if token.startswith(SPACE) else CONTINUED + token
