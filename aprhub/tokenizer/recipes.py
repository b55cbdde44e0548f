"""How to put the vocabulary and the merge rules of a model back from flat lists.

A recipe is JSON-like data and says only what the lists do not: which ids the model
knows, the words and scores that the lists have otherwise, and the rules that do not
follow from the lists.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise, takewhile
from operator import eq
from typing import Any, Final, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.ir.tokenizer import FlatVocabulary
from aprhub.tokenizer.kinds import SENTENCEPIECE
from aprhub.tokenizer.lexicon import spelled, types_of
from aprhub.tokenizer.merges import Pair, as_pairs, texts_of
from aprhub.tokenizer.ranking import ranked_ways

Recipe = Mapping[str, Any]
Vocabulary = Mapping[str, int] | Sequence[Sequence[Any]]
Rules = Sequence[str] | Sequence[Pair] | None

_NOWHERE: Final = "nowhere"
_MERGES: Final = "merges"
_SCORES: Final = "scores"
_SCORES_LONGEST: Final = "scores, longest first"


@frozen
class Ordered:
    """The words of a vocabulary by id, with their ids; some have scores besides."""

    words: list[str]
    ids: NDArray[np.int64]
    scores: list[Any] | None = None

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Self:
        """Put a vocabulary in order."""
        if not isinstance(vocabulary, Mapping):
            words, scores = map(list, zip(*vocabulary, strict=True))
            return cls(words, np.arange(len(words)), scores)
        words, ids = list(vocabulary), np.fromiter(vocabulary.values(), np.int64)
        if (np.diff(ids) < 0).any():  # few are not in order, and it takes a while
            order = np.argsort(ids)
            words, ids = [words[place] for place in order.tolist()], ids[order]
        return cls(words, ids)

    @property
    def listed(self) -> Vocabulary:
        """The vocabulary as a `tokenizer.json` has it."""
        if self.scores is None:
            return dict(zip(self.words, self.ids.tolist(), strict=True))
        return list(map(list, zip(self.words, self.scores, strict=True)))


def vocabulary_recipe(vocabulary: Ordered, flat: FlatVocabulary) -> Recipe:
    """Return what `recalled_vocabulary` needs to make the vocabulary again."""
    known, ids = spelled(flat, types_of(flat, {})), vocabulary.ids
    recipe = {
        "ids": list(_ranges(ids)),
        "words": _unlike(ids, vocabulary.words, known),
    }
    if vocabulary.scores is None:
        return recipe
    return {**recipe, "scores": _unlike(ids, vocabulary.scores, _scores(flat))}


def recalled_vocabulary(recipe: Recipe, flat: FlatVocabulary) -> Ordered:
    """Return the vocabulary that a recipe was made from.

    Raises LookupError, TypeError or ValueError where the recipe is not for `flat`.
    """
    runs = _runs(recipe["ids"], len(flat.tokens) + len(recipe["words"]))
    words = _put_back(recipe["words"], runs, spelled(flat, types_of(flat, {})))
    ids = np.fromiter(chain.from_iterable(runs), np.int64)
    if "scores" not in recipe:
        return Ordered(words, ids)
    return Ordered(words, ids, _put_back(recipe["scores"], runs, _scores(flat)))


def merges_recipe(rules: Rules, texts: list[str], flat: FlatVocabulary) -> Recipe:
    """Return what `recalled_merges` needs to make the rules again.

    `texts` are the `texts_of` the rules. Rules that stand in the flat lists, or follow
    from the scores once some have gone first, are not repeated.
    """
    if rules is None:
        return {}
    paired = any(not isinstance(rule, str) for rule in rules[:1])
    whole = {"from": _NOWHERE, "first": rules, "paired": paired}
    if "".join(texts).count(" ") != len(texts):
        return whole
    source, first = _NOWHERE, texts
    for name, others in _derived(flat):
        found = _first(texts, others())
        if found is not None and len(found) < len(first):
            source, first = name, found
        if not first:
            break
    return whole if source == _NOWHERE else {**whole, "from": source, "first": first}


def recalled_merges(recipe: Recipe, flat: FlatVocabulary) -> tuple[Rules, list[str]]:
    """Return the rules that a recipe was made from, and the `texts_of` them.

    Raises LookupError, TypeError or ValueError where the recipe is not for `flat`.
    """
    if not recipe or recipe["from"] == _NOWHERE:
        rules: Rules = recipe["first"] if recipe else None
        return rules, texts_of(rules)
    texts = dict(_derived(flat))[recipe["from"]]()
    gone = set(recipe["first"])
    if gone:
        texts = [*recipe["first"], *(text for text in texts if text not in gone)]
    return as_pairs(texts) if recipe["paired"] else texts, texts


def _ranges(ids: NDArray[np.int64]) -> Iterator[list[int]]:
    """Yield the runs of rising ids as start and stop."""
    breaks = np.flatnonzero(np.diff(ids) != 1) + 1
    for start, stop in pairwise([0, *breaks.tolist(), len(ids)]):
        yield [int(ids[start]), int(ids[stop - 1]) + 1]


def _runs(ranges: Iterable[Sequence[int]], most: int) -> list[range]:
    """Return runs of ids, of which there can be so many at most."""
    runs = [range(start, stop) for start, stop in ranges]
    if sum(map(len, runs)) > most:
        raise ValueError(ranges)
    return runs


def _unlike(
    ids: NDArray[np.int64], values: Sequence[Any], known: Sequence[Any]
) -> dict[str, Any]:
    """Return the values that a list does not have at their place."""
    if values == known[: len(values)] and len(ids) == ids[-1] + 1:
        return {}
    return {
        str(number): value
        for number, value in zip(ids.tolist(), values, strict=True)
        if number >= len(known) or known[number] != value
    }


def _put_back(
    unlike: Mapping[str, Any], runs: Iterable[range], known: Sequence[Any]
) -> list[Any]:
    if not unlike:
        return [each for run in runs for each in known[run.start : run.stop]]
    given = {int(number): value for number, value in unlike.items()}
    ids = chain.from_iterable(runs)
    return [given[number] if number in given else known[number] for number in ids]


def _scores(flat: FlatVocabulary) -> list[float]:
    return [] if flat.scores is None else flat.scores.tolist()


def _derived(flat: FlatVocabulary) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Yield the rules that flat lists say or imply, with a name for where they are."""
    if flat.merges is not None:
        yield _MERGES, partial(list, flat.merges)
    if flat.scores is not None and flat.model == SENTENCEPIECE:
        types = types_of(flat, {})
        words = spelled(flat, types)
        ways = ranked_ways(words, flat.scores, types)
        yield _SCORES, lambda: list(map(" ".join, ways.in_order_of_ids()))
        yield _SCORES_LONGEST, lambda: list(map(" ".join, ways.longest_first()))


def _first(rules: list[str], others: list[str]) -> list[str] | None:
    """Return the rules that go first where the rest is what is left of the others.

    None where the others are not in that order.
    """
    if rules == others:
        return []
    common = sum(takewhile(bool, map(eq, reversed(rules), reversed(others))))
    first = rules[: len(rules) - common]
    gone = set(first)
    fits = gone.issuperset(others[: len(others) - common])
    return first if fits and gone.isdisjoint(others[len(others) - common :]) else None
