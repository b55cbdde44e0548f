"""What tokens are drawn with: which values are numbers for it, and which differ."""

from typing import Any

import pytest

from aprhub.api import SamplingDefaults

ODD = [
    ("temperature", "0.7"),
    ("temperature", True),
    ("temperature", -0.1),
    ("temperature", float("nan")),
    ("top_p", float("inf")),
    ("min_p", 1e39),
    ("top_k", 20.5),
    ("top_k", -1),
    ("top_k", 1 << 31),
    ("repetition_penalty", [1.1]),
]


def test_numbers_are_taken_and_null_says_nothing() -> None:
    said = {"temperature": 0, "top_k": 40, "top_p": 0.9, "min_p": None}

    found, odd = SamplingDefaults.of(said)

    assert found == SamplingDefaults(temperature=0, top_k=40, top_p=0.9)
    assert found.known() == {"temperature": 0, "top_k": 40, "top_p": 0.9}
    assert odd == ()


@pytest.mark.parametrize(("name", "value"), ODD)
def test_what_nothing_can_be_drawn_with_is_named_and_left_out(
    name: str, value: Any
) -> None:
    found, odd = SamplingDefaults.of({name: value, "top_p": 0.5} | {name: value})

    assert name in odd
    assert name not in found.known()


def test_only_what_is_said_can_differ_and_floats_do_as_f32() -> None:
    said = SamplingDefaults(temperature=0.7, top_k=20)
    rounded = SamplingDefaults(temperature=0.699999988079071, top_k=40, min_p=0.1)

    assert said.differing(rounded) == ["top_k"]
    assert rounded.differing(said) == ["top_k", "min_p"]
    assert SamplingDefaults().differing(said) == []
