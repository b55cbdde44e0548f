"""Scores for merge rules, and merge rules for scores.

SentencePiece knows no rules: of all neighbours that make a token it merges those that
make the token of the highest score. A flat vocabulary keeps these scores, a
`tokenizer.json` keeps rules.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, starmap
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


def ranked_ways(
    words: Sequence[str], scores: NDArray[np.float32], types: NDArray[np.int32]
) -> list[list[Pair]]:
    """Return the rules that the scores of words stand for, word by word.

    Every way to make a word from two others is a rule: those of the word of the
    highest score first, the longest left part first. Words that are matched whole in
    the text come before all others, since no other rule may cut them up; many files
    give them one score, then the longest goes first.
    """
    known = set(words)
    ranked = (_ways(words[number], known) for number in _by_rank(words, scores, types))
    return list(filter(None, ranked))


def in_order_of_ids(ways: Iterable[list[Pair]], words: Sequence[str]) -> list[Pair]:
    """Return rules with the ways to make one word in order of the ids of the parts.

    Most files have this order, others that of `ranked_ways`; ids of text do not depend
    on it.
    """
    ids = {word: number for number, word in enumerate(words)}

    def place(pair: Pair) -> tuple[int, int]:
        return ids[pair[0]], ids[pair[1]]

    return list(
        chain.from_iterable(
            sorted(each, key=place) if len(each) > 1 else each for each in ways
        )
    )


def _by_rank(
    words: Sequence[str], scores: NDArray[np.float32], types: NDArray[np.int32]
) -> Iterator[int]:
    whole = np.flatnonzero(types == USER_DEFINED).tolist()
    yield from sorted(whole, key=lambda each: (-scores[each], -len(words[each])))
    merged = np.flatnonzero(types == NORMAL)
    yield from merged[np.argsort(-scores[merged], kind="stable")].tolist()


def _ways(word: str, known: set[str]) -> list[Pair]:
    return [
        (left, right)
        for cut in range(len(word) - 1, 0, -1)
        if (left := word[:cut]) in known and (right := word[cut:]) in known
    ]
