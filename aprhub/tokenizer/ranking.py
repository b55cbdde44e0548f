"""Scores for merge rules, and merge rules for scores.

SentencePiece knows no rules: of all neighbours that make a token it merges those that
make the token of the highest score. A flat vocabulary keeps these scores, a
`tokenizer.json` keeps rules.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from aprhub.ir.texts import Texts
from aprhub.ir.tokenizer import NORMAL, USER_DEFINED
from aprhub.tokenizer.columns import Numbered, Rules
from aprhub.tokenizer.halving import halves
from aprhub.tokenizer.merges import Pair, made_by

NEVER: Final = -1e9
"""The score of a token that no rule makes."""


def rank_scores(pairs: Sequence[Pair], ids: Numbered, size: int) -> NDArray[np.float32]:
    """Return scores by id that make SentencePiece merge in the order of the rules.

    A token's score is minus the index of the first rule that makes it, and `NEVER`
    where none does.
    """
    made = ids.ids_of(made_by(pairs))
    scores = np.full(size, NEVER, np.float32)
    numbers, first = np.unique(made, return_index=True)
    scores[numbers] = -first
    return scores


@frozen
class Ways:
    """The rules that the scores of words stand for, as ids of their parts.

    `place` counts the words that rules make from the one that is made first on; of the
    rules that make one, those with the longest left part go first.
    """

    words: Texts
    place: NDArray[np.intp]
    left: NDArray[np.intp]
    right: NDArray[np.intp]

    def longest_first(self) -> Sequence[Pair]:
        """Return the rules as they are."""
        if b" " in self.words.data:
            left, right = self.words.take(self.left), self.words.take(self.right)
            return list(zip(left, right, strict=True))
        return Rules.of(self.words, self.left, self.right)

    def in_order_of_ids(self) -> Sequence[Pair]:
        """Return the rules with those that make one word in order of their left parts.

        Most files have this order, others that of `longest_first`; ids of text do not
        depend on it.
        """
        order = np.lexsort((self.left, self.place))
        return evolve(
            self, left=self.left[order], right=self.right[order]
        ).longest_first()


def ranked_ways(
    words: Texts, scores: NDArray[np.float32], types: NDArray[np.int32]
) -> Ways:
    """Return the rules that the scores of words stand for.

    Every way to make a word from two others is a rule, those of the word of the
    highest score first. Words that are matched whole in the text come before all
    others, since no other rule may cut them up; many files give them one score, then
    the longest goes first.
    """
    ranked = np.fromiter(_by_rank(words, scores, types), np.intp)
    return Ways(words, *halves(words, ranked))


def _by_rank(
    words: Texts, scores: NDArray[np.float32], types: NDArray[np.int32]
) -> Iterator[int]:
    whole = np.flatnonzero(types == USER_DEFINED).tolist()
    yield from sorted(whole, key=lambda each: (-scores[each], -len(words[each])))
    merged = np.flatnonzero(types == NORMAL)
    yield from merged[np.argsort(-scores[merged], kind="stable")].tolist()
