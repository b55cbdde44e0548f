"""Fidelity is the arithmetic that its words say, in whatever pieces it is done."""

import math
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, ModelCheckError, ModelConfig, ModelIR, Tensor
from aprhub.errors import TargetExistsError, UsageError
from aprhub.fidelity import Fidelity, TensorFidelity, fidelity
from aprhub.pictures import draw_fidelity, require_drawable
from aprhub.testing.models import random_tensor
from tests.unit.ir.blocks import q8_0

RANDOM = np.random.default_rng(5)
SPREAD = RANDOM.standard_normal((300, 4096)).astype(np.float32)


def _model(**arrays: NDArray[np.float32] | Tensor) -> ModelIR:
    tensors = {
        name.replace("_", "."): array if isinstance(array, Tensor) else Tensor.of(array)
        for name, array in arrays.items()
    }
    return ModelIR(ModelConfig(), tensors)


def _measured(one: NDArray[np.float32], other: NDArray[np.float32]) -> TensorFidelity:
    return fidelity(_model(a=one), _model(a=other)).tensors[0]


def test_the_measures_are_those_of_numpy_over_many_pieces() -> None:
    noisy = SPREAD + RANDOM.normal(0, 0.01, SPREAD.shape).astype(np.float32)
    a, b = SPREAD.astype(np.float64), noisy.astype(np.float64)

    found = _measured(SPREAD, noisy)

    assert found.elements == a.size
    assert found.rmse == pytest.approx(np.sqrt(np.mean((b - a) ** 2)), rel=1e-12)
    power = 10 * np.log10(np.sum(a**2) / np.sum((b - a) ** 2))
    assert found.snr_db == pytest.approx(power, rel=1e-12)
    angle = np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))
    assert found.cosine == pytest.approx(angle, rel=1e-12)
    assert found.max_error == np.abs(b - a).max()


def test_a_quantised_tensor_is_measured_by_its_decoded_values() -> None:
    packed = random_tensor((6, 64), ENCODINGS["q8_0"], seed=1)
    packed = evolve(packed, decoder=q8_0)
    plain = packed.numpy()

    found = fidelity(_model(a=plain + np.float32(0.5)), _model(a=packed)).tensors[0]

    assert found.encodings == ("f32", "q8_0")
    assert found.rmse == pytest.approx(0.5, rel=1e-4)


def test_equal_values_have_no_error() -> None:
    found = _measured(SPREAD[:2], SPREAD[:2].copy())

    assert (found.rmse, found.snr_db, found.max_error) == (0, math.inf, 0)
    assert found.cosine == pytest.approx(1)


@pytest.mark.parametrize(("other", "cosine"), [(0.0, 1.0), (1.0, 0.0)])
def test_zeros_have_no_direction_unless_both_are_zero(
    other: float, cosine: float
) -> None:
    zeros = np.zeros((2, 2), np.float32)

    assert _measured(zeros, zeros + np.float32(other)).cosine == cosine


@pytest.mark.parametrize("odd", [np.inf, np.nan])
def test_what_is_no_number_makes_measures_that_are_none(odd: float) -> None:
    other = SPREAD[:2].copy()
    other[1, 1] = odd

    found = _measured(other, other)

    assert all(map(math.isnan, (found.rmse, found.snr_db, found.max_error)))


def test_all_tensors_are_measured_as_one_too() -> None:
    one, other = (
        _model(a=SPREAD[:1], b=SPREAD[1:3]),
        _model(a=SPREAD[:1], b=SPREAD[3:5]),
    )

    total = fidelity(one, other).total

    as_one = _measured(
        np.concatenate((SPREAD[:1], SPREAD[1:3])),
        np.concatenate((SPREAD[:1], SPREAD[3:5])),
    )
    assert total.rmse == pytest.approx(as_one.rmse)
    assert total.max_error == as_one.max_error


@given(st.floats(0.125, 64, width=32))
def test_the_decibels_do_not_depend_on_the_scale(scale: float) -> None:
    one, other = SPREAD[:1, :64], SPREAD[1:2, :64]

    scaled = _measured(one * np.float32(scale), other * np.float32(scale))

    assert scaled.snr_db == pytest.approx(_measured(one, other).snr_db, abs=1e-3)


def test_models_of_other_tensors_are_refused_with_all_of_them() -> None:
    one, other = _model(a=SPREAD[:1], b=SPREAD[:1]), _model(a=SPREAD[:2], c=SPREAD[:1])

    with pytest.raises(ModelCheckError) as refusal:
        fidelity(one, other)

    assert [fault.subject for fault in refusal.value.faults] == ["a", "b", "c"]


@pytest.fixture
def measures() -> Fidelity:
    one = {f"layers.{i}.ffn.up.weight": Tensor.of(SPREAD[i : i + 1]) for i in range(3)}
    other = {name: Tensor.of(SPREAD[9:10]) for name in one}
    return fidelity(ModelIR(ModelConfig(), one), ModelIR(ModelConfig(), other))


def test_a_picture_names_its_roles_and_is_the_same_again(
    measures: Fidelity, tmp_path: Path
) -> None:
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    for page in pages:
        draw_fidelity(measures, page)

    text = pages[0].read_text("utf-8")
    assert "<svg" in text
    assert "ffn.up.weight" in text
    assert text == pages[1].read_text("utf-8")


def test_a_png_is_one(measures: Fidelity, tmp_path: Path) -> None:
    draw_fidelity(measures, tmp_path / "a.png")

    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_another_kind_or_over_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")

    with pytest.raises(UsageError, match=r"ends in \.html or \.png"):
        require_drawable(tmp_path / "a.jpg")
    with pytest.raises(TargetExistsError):
        require_drawable(tmp_path / "a.png")
    require_drawable(tmp_path / "a.png", force=True)
