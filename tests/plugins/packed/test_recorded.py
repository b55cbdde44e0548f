"""Weights as the programs of each packing packed them, and what they mean there."""

import numpy as np
import pytest

from aprhub.api import Tensor
from aprhub_packed import provide_packings
from tests.plugins.packed.changes import CASES, RECORDED, opened


def tensors_of(case: str) -> dict[str, Tensor]:
    return dict(opened(RECORDED / f"{case}.safetensors").tensors)


def rows_of(tensor: Tensor, first: int, stop: int) -> bytes:
    row = tensor.nbytes // tensor.shape[0]
    out = np.empty((stop - first) * row, np.uint8)
    tensor.read_into(first * row, out)
    return out.tobytes()


@pytest.mark.parametrize("case", CASES)
def test_values_are_those_that_the_program_computes(case: str) -> None:
    tensors = tensors_of(case)
    expected = tensors["expected"]

    weight = tensors["layer.weight"].cast(expected.encoding)

    assert weight.shape == expected.shape
    assert weight.tobytes() == expected.tobytes()


@pytest.mark.parametrize("case", CASES)
def test_any_rows_can_be_read_on_their_own(case: str) -> None:
    values = tensors_of(case)["layer.weight"].decoded()
    whole = values.tobytes()
    row = len(whole) // values.shape[0]

    for first, stop in ((0, 1), (5, 6), (7, 33), (63, 64)):
        assert rows_of(values, first, stop) == whole[first * row : stop * row]


@pytest.mark.parametrize("case", CASES)
def test_the_bytes_are_those_of_the_parts(case: str) -> None:
    stored = opened(RECORDED / f"{case}.safetensors")
    weight = stored.tensors["layer.weight"]

    parts = [fate.key for fate in stored.fates if fate.into == "layer.weight"]

    assert parts
    assert weight.segments()
    assert weight.nbytes == len(weight.tobytes())


def test_every_packing_has_a_recorded_weight() -> None:
    methods = {each.name.split("-")[0] for each in provide_packings()}

    assert {case.split("-")[0] for case in CASES} == methods
