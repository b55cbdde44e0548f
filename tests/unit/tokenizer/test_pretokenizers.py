from typing import Any

import pytest

from aprhub.api import UnrepresentableError, flattened
from aprhub.tokenizer.document import parsed
from aprhub.tokenizer.pretokenizers import pre_tokenizer, split_named, split_of
from aprhub.tokenizer.regexes import normalised
from aprhub.tokenizer.splits import SPLITS, Split
from tests.unit.tokenizer.samples import BYTE_LEVEL, byte_level, changed, from_json

BYTES = {**BYTE_LEVEL, "use_regex": False}
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _isolated(regex: str) -> dict[str, Any]:
    return {
        "type": "Split",
        "pattern": {"Regex": regex},
        "behavior": "Isolated",
        "invert": False,
    }


def _pre(*steps: dict[str, Any], clean_up: bool | None = None, **parts: Any) -> str:
    sequence = {"type": "Sequence", "pretokenizers": list(steps)}
    text = changed(byte_level(), pre_tokenizer=sequence, **parts)
    flat = flattened(from_json(text, clean_up_spaces=clean_up), None).flat
    assert flat is not None
    assert flat.pre is not None
    return flat.pre


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split.names[0])
def test_the_steps_of_a_split_are_recognised_as_that_split(split: Split) -> None:
    text = changed(
        byte_level(),
        pre_tokenizer=pre_tokenizer(split),
        ignore_merges=split.ignore_merges,
        normalizer={"type": "NFC"} if split.nfc else None,
    )

    found = split_of(parsed(text), split.clean_up)

    assert (found.stages, found.ignore_merges) == (split.stages, split.ignore_merges)
    assert found.clean_up is split.clean_up


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split.names[0])
def test_the_expressions_of_the_table_are_in_the_one_spelling(split: Split) -> None:
    assert tuple(map(normalised, split.stages)) == split.stages


def test_no_name_stands_for_two_splits() -> None:
    names = [name for split in SPLITS for name in split.names]
    assert len(set(names)) == len(names)


def test_llama_3_ignores_merges_and_others_that_split_alike_do_not() -> None:
    assert _pre(_isolated(LLAMA3), BYTES, ignore_merges=True) == "llama-bpe"
    assert _pre(_isolated(LLAMA3), BYTES) == "dbrx"


def test_ignoring_merges_is_moot_where_they_make_every_token() -> None:
    assert _pre(BYTE_LEVEL, ignore_merges=True) == "gpt-2"


def test_ignoring_merges_counts_where_they_do_not_make_every_token() -> None:
    with pytest.raises(UnrepresentableError, match=r"model\.ignore_merges: it is True"):
        _pre(BYTE_LEVEL, ignore_merges=True, merges=["a b"])


def test_digits_may_be_a_step_or_an_expression() -> None:
    digits = {"type": "Digits", "individual_digits": True}
    assert _pre(digits, BYTE_LEVEL, clean_up=False) == "smollm"
    assert _pre(_isolated(r"\p{N}"), BYTE_LEVEL, clean_up=True) == "starcoder"


def test_composing_characters_tells_names_apart_that_split_alike() -> None:
    assert _pre(BYTE_LEVEL, normalizer={"type": "NFC"}) == "mpt"
    assert _pre(BYTE_LEVEL) == "gpt-2"


def test_keeping_matches_is_isolating_where_everything_matches() -> None:
    kept = {**_isolated(LLAMA3), "behavior": "Removed", "invert": True}
    assert _pre(kept, BYTES) == "dbrx"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("\\s*[\r\n]+", r"\s*[\r\n]+"),
        (r"\p{N}{1}|x{1,3}", r"\p{N}|x{1,3}"),
        (r"[^\s]?+\p{L}++|[a++]", r"[^\s]?\p{L}+|[a++]"),
        (r"'(?i:[sdmt]|ll|ve|re)|x", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|x"),
        (
            r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        ),
        (r"\[{1}\]", r"\[\]"),
    ],
)
def test_spellings_of_one_expression_become_one(theirs: str, ours: str) -> None:
    assert normalised(theirs) == ours


@pytest.mark.parametrize(
    "step",
    [
        {"type": "Whitespace"},
        {"type": "Split", "behavior": "Isolated"},
        {**_isolated(r"\p{L}+"), "behavior": "Removed", "invert": True},
        {**_isolated(r"\p{L}+"), "behavior": "MergedWithNext"},
        {"type": "Punctuation", "behavior": "Isolated"},
        {**BYTE_LEVEL, "add_prefix_space": True},
    ],
)
def test_a_step_that_nobody_has_is_shown(step: dict[str, Any]) -> None:
    with pytest.raises(
        UnrepresentableError, match="pre_tokenizer: nobody has the step"
    ):
        _pre(step, BYTES)


def test_an_expression_that_nobody_has_is_shown() -> None:
    with pytest.raises(UnrepresentableError, match=r"nobody splits text by \[aeiou\]"):
        _pre(_isolated("[aeiou]"), BYTES)


def test_a_file_without_a_name_means_the_default() -> None:
    assert split_named(None) == split_named("default")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UnrepresentableError, match=r"called 'qwen-2' .* did you mean 'qwen2'"
    ):
        split_named("qwen-2")
