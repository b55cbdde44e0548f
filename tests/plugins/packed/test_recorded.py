"""Weights as the programs of each packing packed them, and what they mean there."""

from pathlib import Path

import numpy as np
import pytest

from aprhub.api import StoredModel, Tensor
from aprhub.unpacking import unpacked
from aprhub_packed import provide_packings
from aprhub_safetensors import SAFETENSORS
from tests.unit import toys

FOLDER = Path(__file__).parent / "recorded"
CASES = sorted(path.stem for path in FOLDER.iterdir())


def opened(case: str) -> StoredModel:
    stored = SAFETENSORS.opened(FOLDER / f"{case}.safetensors")
    return unpacked(stored, toys.INSTALLED)


def rows_of(tensor: Tensor, first: int, stop: int) -> bytes:
    row = tensor.nbytes // tensor.shape[0]
    out = np.empty((stop - first) * row, np.uint8)
    tensor.read_into(first * row, out)
    return out.tobytes()


@pytest.mark.parametrize("case", CASES)
def test_values_are_those_that_the_program_computes(case: str) -> None:
    tensors = opened(case).tensors
    expected = tensors["expected"]

    weight = tensors["layer.weight"].cast(expected.encoding)

    assert weight.shape == expected.shape
    assert weight.tobytes() == expected.tobytes()


@pytest.mark.parametrize("case", CASES)
def test_any_rows_can_be_read_on_their_own(case: str) -> None:
    values = opened(case).tensors["layer.weight"].decoded()
    whole = values.tobytes()
    row = len(whole) // values.shape[0]

    for first, stop in ((0, 1), (5, 6), (7, 33), (63, 64)):
        assert rows_of(values, first, stop) == whole[first * row : stop * row]


def test_every_packing_has_a_recorded_weight() -> None:
    methods = {each.name.split("-")[0] for each in provide_packings()}

    assert {case.split("-")[0] for case in CASES} == methods
