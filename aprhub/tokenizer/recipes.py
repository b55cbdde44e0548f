"""How to put the vocabulary and the merge rules of a model back from flat lists.

A recipe is JSON-like data and says only what the lists do not: which ids the model
knows, the words and scores that the lists have otherwise, and the rules that do not
follow from the lists.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise
from operator import itemgetter
from typing import Any, Final, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.ir.texts import Texts, as_texts
from aprhub.ir.tokenizer import FlatVocabulary
from aprhub.tokenizer.columns import Numbered, Rules
from aprhub.tokenizer.kinds import SENTENCEPIECE
from aprhub.tokenizer.lexicon import spelled, types_of
from aprhub.tokenizer.merges import Pair, as_pairs, texts_of
from aprhub.tokenizer.ranking import ranked_ways

Recipe = Mapping[str, Any]
Vocabulary = Numbered | Sequence[Sequence[Any]]
Listed = Rules | Sequence[str] | Sequence[Pair] | None

_NOWHERE: Final = "nowhere"
_MERGES: Final = "merges"
_SCORES: Final = "scores"
_SCORES_LONGEST: Final = "scores, longest first"


@frozen
class Ordered:
    """The words of a vocabulary by id, with their ids; some have scores besides."""

    words: Texts
    ids: NDArray[np.int64]
    scores: list[Any] | None = None

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Self:
        """Put a vocabulary in order."""
        if not isinstance(vocabulary, Numbered):
            pieces, scores = zip(*vocabulary, strict=True)
            return cls(Texts.of(pieces), np.arange(len(pieces)), list(scores))
        words, ids = vocabulary.words, vocabulary.numbers
        if (np.diff(ids) < 0).any():  # few are not in order, and it takes a while
            order = np.argsort(ids)
            words, ids = words.take(order), ids[order]
        return cls(words, ids)

    @property
    def listed(self) -> Vocabulary:
        """The vocabulary as a `tokenizer.json` has it."""
        if self.scores is None:
            return Numbered.paired(self.words, self.ids)
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
    known, unlike = spelled(flat, types_of(flat, {})), recipe["words"]
    ids = np.concatenate([np.arange(run.start, run.stop) for run in runs])
    words = Texts.of(_put_back(unlike, runs, known)) if unlike else known.take(ids)
    if "scores" not in recipe:
        return Ordered(words, ids)
    return Ordered(words, ids, _put_back(recipe["scores"], runs, _scores(flat)))


def merges_recipe(rules: Listed, texts: Texts, flat: FlatVocabulary) -> Recipe:
    """Return what `recalled_merges` needs to make the rules again.

    `texts` are the `texts_of` the rules. Rules that stand in the flat lists, or follow
    from the scores once some have gone first, are not repeated.
    """
    if rules is None:
        return {}
    paired = any(not isinstance(rule, str) for rule in rules[:1])
    whole = {"from": _NOWHERE, "first": rules, "paired": paired}
    if texts.data.count(b" ") != len(texts):
        return whole
    found = []
    for name, others in _derived(flat):
        common = common_tail(texts, others())
        found.append((common, name, others))
        if common == len(texts):
            break
    for common, name, others in sorted(found, key=itemgetter(0), reverse=True):
        first = _first(texts, others(), common) if common else None
        if first is not None:
            return {**whole, "from": name, "first": first}
    return whole


def recalled_merges(recipe: Recipe, flat: FlatVocabulary) -> tuple[Listed, Texts]:
    """Return the rules that a recipe was made from, and the `texts_of` them.

    Raises LookupError, TypeError or ValueError where the recipe is not for `flat`.
    """
    if not recipe or recipe["from"] == _NOWHERE:
        listed: Listed = recipe["first"] if recipe else None
        return listed, texts_of(listed)
    texts = dict(_derived(flat))[recipe["from"]]()
    if recipe["first"]:
        rest = np.ones(len(texts), np.bool_)
        rest[[place for place, _ in texts.found(recipe["first"])]] = False
        first = Texts.of(recipe["first"])
        texts = Texts.joined((first, texts.take(np.flatnonzero(rest))))
    pairs = as_pairs(texts)
    if isinstance(pairs, Rules):
        return Rules(texts, recipe["paired"]), texts
    return (pairs if recipe["paired"] else list(texts)), texts


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
    there = list(known)
    return {
        str(number): value
        for number, value in zip(ids.tolist(), values, strict=True)
        if number >= len(there) or there[number] != value
    }


def _put_back(
    unlike: Mapping[str, Any], runs: Iterable[range], known: Sequence[Any]
) -> list[Any]:
    given = {int(number): value for number, value in unlike.items()}
    ids, there = chain.from_iterable(runs), list(known)
    return [given[number] if number in given else there[number] for number in ids]


def _scores(flat: FlatVocabulary) -> list[float]:
    return [] if flat.scores is None else flat.scores.tolist()


def _derived(flat: FlatVocabulary) -> Iterator[tuple[str, Callable[[], Texts]]]:
    """Yield the rules that flat lists say or imply, with a name for where they are."""
    if flat.merges is not None:
        yield _MERGES, partial(as_texts, flat.merges)
    if flat.scores is not None and flat.model == SENTENCEPIECE:
        types = types_of(flat, {})
        words = spelled(flat, types)
        ways = ranked_ways(words, flat.scores, types)
        yield _SCORES, lambda: texts_of(ways.in_order_of_ids())
        yield _SCORES_LONGEST, lambda: texts_of(ways.longest_first())


def common_tail(one: Texts, two: Texts) -> int:
    """Return how many texts two columns have in common, counted from the end."""
    count = min(len(one), len(two))
    one, two = one[len(one) - count :], two[len(two) - count :]
    unlike = np.flatnonzero(one.lengths != two.lengths)
    if len(unlike):
        count -= int(unlike[-1]) + 1
        one, two = one[len(one) - count :], two[len(two) - count :]
    odd = np.flatnonzero(one.letters != two.letters)
    if not len(odd):
        return count
    return count - 1 - int(np.searchsorted(one.ends, odd[-1], side="right"))


def _first(rules: Texts, others: Texts, common: int) -> list[str] | None:
    """Return the rules that go first where the rest is what is left of the others.

    So many at the end are common to both. None where the others are not in that order.
    """
    first = list(rules[: len(rules) - common])
    rest = len(others) - common
    fits = set(first).issuperset(others[:rest])
    return first if fits and not others[rest:].found(first) else None
