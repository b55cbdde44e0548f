"""The methods that aprhub shares with mergekit give what mergekit gives."""

import base64
import json
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.judges.merge_cases import CASES, SHAPES, Case, tensors
from tests.plugins.merge.groups import REGISTRY, merged

RECORDED: Final = json.loads(Path(__file__).with_name("mergekit.json").read_text())

TOLERANCE: Final = 4e-7
"""Largest difference relative to the largest value: mergekit computes in f32."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_merge_is_that_of_mergekit(case: Case, shape: str) -> None:
    recorded = base64.b64decode(RECORDED[case.name][shape])
    theirs = np.frombuffer(recorded, "<f4").reshape(SHAPES[shape])

    ours = merged(case, *tensors(case, shape))

    assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max()


def test_every_method_that_is_not_of_another_program_has_a_case() -> None:
    names = {each.value.name for each in REGISTRY.methods}

    assert {name for name in names if ":" not in name} == {c.method for c in CASES}
