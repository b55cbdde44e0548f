"""What any encoder makes of any weights is within the bound of its type."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, Codec, Tensor
from aprhub.verification.bounds import BOUNDS, POWER, deviation
from tests.unit import toys

SHAPE = (8, 512)
RANDOM = np.random.default_rng(3)
WEIGHTS = {
    "normal": RANDOM.standard_normal(SHAPE),
    "uniform": RANDOM.uniform(-1, 1, SHAPE),
    "two-valued": RANDOM.choice([-1.0, 1.0], SHAPE),
    "positive": RANDOM.uniform(0, 1, SHAPE),
    "far-from-zero": 5 + RANDOM.standard_normal(SHAPE) / 10,
    "heavy-tailed": RANDOM.standard_t(2, SHAPE),
    "of-many-scales": RANDOM.standard_normal(SHAPE) * RANDOM.lognormal(0, 2, SHAPE[1]),
    "tiny": RANDOM.standard_normal(SHAPE) * 1e-6,
    "all-alike": np.full(SHAPE, 0.37),
}
IMPORTANCE = Tensor.of(RANDOM.lognormal(0, 2, SHAPE[1]).astype(np.float32))
CODECS = [
    pytest.param(codec, id=name, marks=[pytest.mark.slow] * name.startswith("iq"))
    for name in BOUNDS
    if (codec := toys.INSTALLED.codec(name)) and codec.encode is not None
]
"""Codecs that encode; ggml prepares the tables of some for a long time."""


def encoded(
    values: NDArray[np.float64], codec: Codec, importance: Tensor | None
) -> tuple[Tensor, Tensor]:
    source = Tensor.of(values.astype(np.float32))
    assert codec.encode
    made = source.encoded(ENCODINGS[codec.name], codec.encode, importance)
    return source, evolve(made, decoder=codec.decode)


def test_whatever_can_be_encoded_has_a_bound() -> None:
    able = {each.value.name for each in toys.INSTALLED.codecs if each.value.encode}

    assert able <= BOUNDS.keys()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("importance", [None, IMPORTANCE], ids=["plain", "weighed"])
def test_what_is_encoded_is_within_the_bound(
    codec: Codec, weights: str, importance: Tensor | None
) -> None:
    if codec.needs_importance and importance is None:
        return

    found = deviation(*encoded(WEIGHTS[weights], codec, importance))

    assert found.is_within, found


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("wrong", ["doubled", "negated", "other rows"])
def test_other_values_are_beyond_the_bound(codec: Codec, wrong: str) -> None:
    values = WEIGHTS["normal"]
    changed = {"doubled": values * 2.5, "negated": -values, "other rows": values[::-1]}
    source = Tensor.of(values.astype(np.float32))
    importance = IMPORTANCE if codec.needs_importance else None

    _, found = encoded(changed[wrong], codec, importance)

    assert not deviation(source, found).is_within


def test_values_that_are_no_numbers_are_beyond_every_bound() -> None:
    codec = toys.INSTALLED.codec("q8_0")
    assert codec
    source, found = encoded(WEIGHTS["normal"], codec, None)
    broken = source.numpy().copy()
    broken[1, 1] = np.nan

    assert not deviation(Tensor.of(broken), found).is_within


def test_the_bounds_are_those_of_the_documentation() -> None:
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    rows = re.findall(r"^\| (`.*?`) \| ([\d/ +]+) \| (.*?) \|$", page.read_text(), re.M)
    told = {
        name: (sum(map(Fraction, share.split(" + "))), reach)
        for names, share, reach in rows
        for name in re.findall("`(.*?)`", names)
    }

    assert told == {name: (bound.share, bound.reach) for name, bound in BOUNDS.items()}
    assert told["iq1_s"][1] == POWER
