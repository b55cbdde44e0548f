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
from numpy.typing import NDArray

from aprhub.ir.tokenizer import NORMAL, USER_DEFINED
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


def ranked_pairs(
    words: Sequence[str], scores: NDArray[np.float32], types: NDArray[np.int32]
) -> list[Pair]:
    """Return the rules that the scores of words stand for.

    Every way to make a word from two others is a rule: that of the highest score
    first, and the ways to make one in order of the ids of their parts. Words that are
    matched whole in the text come before all others, since no other rule may cut them
    up; many files give them one score, then the longest goes first.
    """
    ids = {word: number for number, word in enumerate(words)}
    pairs: list[Pair] = []
    for number in _by_rank(words, scores, types):
        halves = _halves(words[number], ids)
        if len(halves) > 1:
            halves.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        pairs += halves
    return pairs


def _by_rank(
    words: Sequence[str], scores: NDArray[np.float32], types: NDArray[np.int32]
) -> Iterator[int]:
    whole = np.flatnonzero(types == USER_DEFINED).tolist()
    yield from sorted(whole, key=lambda each: (-scores[each], -len(words[each])))
    merged = np.flatnonzero(types == NORMAL)
    yield from merged[np.argsort(-scores[merged], kind="stable")].tolist()


def _halves(word: str, ids: Mapping[str, int]) -> list[Pair]:
    return [
        (word[:cut], word[cut:])
        for cut in range(1, len(word))
        if word[:cut] in ids and word[cut:] in ids
    ]
