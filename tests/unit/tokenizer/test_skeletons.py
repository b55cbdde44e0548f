import json
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import (
    CorruptFileError,
    FlatVocabulary,
    Tokenizer,
    assembled,
    flattened,
    restored,
    skeleton,
)
from aprhub.ir.texts import Texts
from aprhub.tokenizer.recipes import common_tail
from tests.unit.tokenizer.samples import added, byte_level, changed, from_json, learnt

MORE_LETTERS = {"a": 0, "b": 1, "c": 2, "Ġ": 3, "ab": 4, "abc": 5, "bc": 6}
KINDS = ("gpt2", "llama", "t5", "bert")
WORDS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=3)


def _flat(text: str, rows: int | None = None) -> FlatVocabulary:
    flat = flattened(from_json(text), rows).flat
    assert flat is not None
    return flat


@pytest.mark.parametrize("kind", KINDS)
def test_a_skeleton_and_its_vocabulary_make_the_same_tokenizer(kind: str) -> None:
    text = learnt()[kind]
    flat = _flat(text, 2100)

    bones = skeleton(text, flat)

    assert len(bones) < len(text) / 5
    assert json.loads(restored(bones, flat)) == json.loads(text)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_vocabulary_it_is_the_one_that_flattening_gives(kind: str) -> None:
    text = learnt()[kind]
    assert json.loads(restored(skeleton(text), _flat(text))) == json.loads(text)


def test_rules_that_only_end_alike_are_kept_as_they_are() -> None:
    parts = {"vocab": MORE_LETTERS, "merges": ["a b", "b c", "ab c"]}
    text = changed(byte_level(), added_tokens=[added(7, "x")], **parts)
    flat = evolve(_flat(text), merges=["c a", "ab c"])

    bones = skeleton(text, flat)

    assert json.loads(bones)["merges"]["from"] == "nowhere"
    assert json.loads(restored(bones, flat)) == json.loads(text)


def test_assembling_puts_a_skeleton_together_with_its_vocabulary() -> None:
    text = changed(byte_level(), padding={"strategy": "BatchLongest"})
    flat = _flat(text)

    found = assembled(Tokenizer(flat, skeleton=skeleton(text, flat))).json

    assert found is not None
    assert json.loads(found) == json.loads(text)


def test_the_order_in_which_a_file_has_its_members_is_kept() -> None:
    document = byte_level()
    moved = {"model": document.pop("model"), "x": [1.5, None], **document}
    text = json.dumps(moved)

    again = json.loads(restored(skeleton(text), _flat(text)))

    assert list(again) == list(moved)
    assert list(again["model"]) == list(moved["model"])


@pytest.mark.parametrize("merges", [["a b", "ab c"], [["a", "b"], ["ab", "c"]]])
def test_merges_come_back_in_the_form_they_had(merges: list[Any]) -> None:
    text = changed(byte_level(), merges=merges)
    again = json.loads(restored(skeleton(text), _flat(text)))
    assert again["model"]["merges"] == merges


def test_merges_in_an_order_that_scores_do_not_give_come_back() -> None:
    document = json.loads(learnt()["llama"])
    document["model"]["merges"].reverse()
    text = json.dumps(document)
    assert json.loads(restored(skeleton(text), _flat(text))) == document


def test_another_vocabulary_is_refused() -> None:
    text = changed(byte_level())
    flat = _flat(text)
    other = evolve(flat, tokens=["x", *flat.tokens[1:]])

    with pytest.raises(CorruptFileError, match="not the one that it was made for"):
        restored(skeleton(text, flat), other)


@pytest.mark.parametrize(
    "bones",
    [
        *("", "[]", "{}", "7", "[" * 100_000, '{"tokenizer": {"model": 3}}'),
        *(
            f'{{"tokenizer": {{"model": {{}}}}, "vocab": {vocab}}}'
            for vocab in (
                '{"ids": [[0, 9e99]], "words": {}}',
                '{"ids": [[0, 1099511627776]], "words": {}}',
                f'{{"ids": [[0, {10**30}]], "words": {{}}}}',
                f'{{"ids": [[{10**400}, {10**400 + 1}]], "words": {{}}}}',
                '{"ids": [[0, 1]], "words": {"x": 1}}',
                '{"ids": [[0]], "words": {}}',
            )
        ),
    ],
)
def test_what_is_no_skeleton_is_refused(bones: str) -> None:
    with pytest.raises(CorruptFileError, match="tokenizer skeleton"):
        restored(bones, _flat(changed(byte_level())))


@st.composite
def _programs(draw: st.DrawFn) -> tuple[str, FlatVocabulary]:
    """Draw a tokenizer and a vocabulary that need not be made from it."""
    words = draw(st.lists(WORDS, min_size=1, max_size=8, unique=True))
    numbers = draw(st.permutations(range(len(words) + 3)))
    vocab: Any = dict(zip(words, numbers, strict=False))
    listed = draw(st.booleans())
    if listed:
        scores = st.floats(-1e30, 1e30) | st.integers(-9, 9)
        vocab = [[word, draw(scores)] for word in words]
    pair = st.lists(st.sampled_from(words), min_size=2, max_size=2)
    pairs = [p for p in draw(st.lists(pair, max_size=4)) if "".join(p) in words]
    texts = [" ".join(p) for p in pairs]
    plain = all(text.count(" ") == 1 for text in texts)
    merges = texts if plain and draw(st.booleans()) else pairs
    rules = None if listed else merges
    document = changed(byte_level(), vocab=vocab, added_tokens=[], merges=rules)
    tokens = draw(st.lists(st.sampled_from([*words, "?"]), max_size=len(words) + 2))
    size = len(tokens)
    flat = FlatVocabulary(
        draw(st.sampled_from(["gpt2", "llama", "t5", "bert"])),
        tokens,
        scores=draw(st.sampled_from([None, np.zeros(size, np.float32)])),
        types=draw(st.sampled_from([None, np.full(size, 4, np.int32)])),
        merges=draw(st.sampled_from([None, texts, texts[1:]])),
    )
    return document, flat


@given(_programs())
def test_any_tokenizer_comes_back_from_its_skeleton_beside_any_vocabulary(
    drawn: tuple[str, FlatVocabulary],
) -> None:
    text, flat = drawn
    assert json.loads(restored(skeleton(text, flat), flat)) == json.loads(text)


@given(st.lists(WORDS), st.lists(WORDS))
def test_the_same_texts_at_the_end_are_counted(one: list[str], two: list[str]) -> None:
    pairs = zip(reversed(one), reversed(two), strict=False)
    same = 0
    for left, right in pairs:
        if left != right:
            break
        same += 1

    assert common_tail(Texts.of(one), Texts.of(two)) == same


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (["x", "ab", "c"], ["y", "ab", "c"], 2),
        (["ab", "c"], ["a", "bc"], 0),
        (["ab", "cd"], ["ab", "ce"], 0),
        (["ab", "", "c"], ["ax", "", "c"], 2),
        (["c"], ["b", "c"], 1),
    ],
)
def test_where_texts_begin_to_differ_is_found(
    one: list[str], two: list[str], same: int
) -> None:
    assert common_tail(Texts.of(one), Texts.of(two)) == same
