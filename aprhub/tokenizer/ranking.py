"""Scores for merge rules, and merge rules for scores.

SentencePiece knows no rules: of all neighbours that make a token it merges those that
make the token of the highest score. A flat vocabulary keeps these scores, a
`tokenizer.json` keeps rules.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import starmap
from operator import add
from typing import Final

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from aprhub.ir.tokenizer import NORMAL, USER_DEFINED
from aprhub.tokenizer.halving import halves
from aprhub.tokenizer.merges import Pair

NEVER: Final = -1e9
"""The score of a token that no rule makes."""


def rank_scores(
    pairs: Sequence[Pair], ids: Mapping[str, int], size: int
) -> NDArray[np.float32]:
    """Return scores by id that make SentencePiece merge in the order of the rules.

    A token's score is minus the index of the first rule that makes it, and `NEVER`
    where none does.
    """
    made = np.fromiter(map(ids.__getitem__, starmap(add, pairs)), np.intp, len(pairs))
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

    words: Sequence[str]
    place: NDArray[np.intp]
    left: NDArray[np.intp]
    right: NDArray[np.intp]

    def longest_first(self) -> list[Pair]:
        """Return the rules as they are."""
        return list(
            zip(self._spelled(self.left), self._spelled(self.right), strict=True)
        )

    def in_order_of_ids(self) -> list[Pair]:
        """Return the rules with those that make one word in order of their left parts.

        Most files have this order, others that of `longest_first`; ids of text do not
        depend on it.
        """
        order = np.lexsort((self.left, self.place))
        return evolve(
            self, left=self.left[order], right=self.right[order]
        ).longest_first()

    def _spelled(self, ids: NDArray[np.intp]) -> Iterator[str]:
        return map(self.words.__getitem__, ids.tolist())


def ranked_ways(
    words: Sequence[str], scores: NDArray[np.float32], types: NDArray[np.int32]
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
    words: Sequence[str], scores: NDArray[np.float32], types: NDArray[np.int32]
) -> Iterator[int]:
    whole = np.flatnonzero(types == USER_DEFINED).tolist()
    yield from sorted(whole, key=lambda each: (-scores[each], -len(words[each])))
    merged = np.flatnonzero(types == NORMAL)
    yield from merged[np.argsort(-scores[merged], kind="stable")].tolist()
