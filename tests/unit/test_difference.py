"""Every way in which two tensors can differ has its own name."""

import numpy as np
import pytest
from attrs import evolve
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, Memory, ModelIR, RopeScaling, Tensor, Tokenizer
from aprhub.difference import compared, difference, same_values
from aprhub.testing.models import PICOS, random_tensor
from tests.unit import toys
from tests.unit.ir.blocks import q8_0

VALUES = np.random.default_rng(1).standard_normal((6, 64)).astype(np.float32)


def _of(values: NDArray[np.float32]) -> Tensor:
    return Tensor.of(values)


def _packed(seed: int, shape: tuple[int, ...] = (6, 64)) -> Tensor:
    return evolve(random_tensor(shape, ENCODINGS["q8_0"], seed=seed), decoder=q8_0)


ONE = _of(VALUES)
PACKED = _packed(1)

OUTCOMES = {
    "equal": (ONE, _of(VALUES.copy())),
    "equal but for the sign of zero": (_of(VALUES * 0), _of(VALUES * -0.0)),
    "equal packed": (PACKED, _packed(1)),
    "widened": (
        ONE.cast(ENCODINGS["bf16"]),
        ONE.cast(ENCODINGS["bf16"]).cast(ENCODINGS["f32"]),
    ),
    "widened from packed": (PACKED, _of(PACKED.numpy())),
    "shape": (ONE, _of(VALUES.reshape(12, 32))),
    "transposed": (ONE, _of(VALUES.T.copy())),
    "transposed square": (_of(VALUES[:, :6].copy()), _of(VALUES[:, :6].T.copy())),
    "permuted": (ONE, _of(VALUES[::-1].copy())),
    "permuted packed": (PACKED, PACKED.taken(np.array([1, 0, 2, 3, 5, 4]))),
    "cast": (ONE, ONE.cast(ENCODINGS["f16"])),
    "cast the other way": (ONE.cast(ENCODINGS["bf16"]), ONE),
    "requantised": (PACKED, _packed(2)),
    "requantised from floats": (ONE, PACKED),
    "requantised without codec": (PACKED, evolve(_packed(2), decoder=None)),
    "values": (ONE, _of(VALUES + np.float32(0.5))),
    "values in another encoding": (ONE, _of(VALUES * 2).cast(ENCODINGS["f16"])),
    "values of a packed vector": (_packed(1, (32,)), _packed(2, (32,))),
}


@pytest.mark.parametrize("case", sorted(OUTCOMES))
def test_a_difference_is_named_by_its_cause(case: str) -> None:
    expected = case.split()[0]
    if case == "values of a packed vector":
        expected = "requantised"

    found = compared("t", *OUTCOMES[case])

    assert found.outcome == expected


def test_the_largest_error_is_told() -> None:
    other = VALUES.copy()
    other[3, 5] += np.float32(0.25)

    error = compared("t", ONE, _of(other)).max_error

    assert error == pytest.approx(0.25, rel=1e-6)


def test_nans_in_the_same_places_are_equal_and_in_others_are_infinitely_far() -> None:
    hole = VALUES.copy()
    hole[0, 0] = np.nan
    payload = hole.copy()
    payload.view(np.uint32)[0, 0] ^= 1

    assert compared("t", _of(hole), _of(payload)).outcome == "equal"
    assert compared("t", ONE, _of(hole)).max_error == np.inf


def test_tensors_whose_pieces_differ_in_size_are_compared_all_the_same() -> None:
    wide = np.arange(3_000_000, dtype=np.float32).reshape(3, -1)
    other = _of(wide.T.copy()).transposed()

    assert compared("t", _of(wide), other).outcome == "equal"


def _model(pico: str = "llama") -> ModelIR:
    return PICOS[pico].model(toys.INSTALLED)


def test_a_model_does_not_differ_from_itself() -> None:
    found = difference(_model(), _model())

    assert found.is_empty
    assert found.as_json()["schema"] == 1
    assert found.as_json()["equal"] is True


def test_tensors_of_one_model_only_are_named() -> None:
    model = _model()
    rest = {name: each for name, each in model.tensors.items() if name != "norm.weight"}

    there = difference(model, evolve(model, tensors=rest))
    back = difference(evolve(model, tensors=rest), model)

    assert [(d.name, d.outcome) for d in there.tensors if d.outcome != "equal"] == [
        ("norm.weight", "missing")
    ]
    assert "added" in [each.outcome for each in back.tensors]
    assert not there.is_empty


def test_configurations_differ_where_both_say_something_else() -> None:
    model = _model()
    said = evolve(model.config, norm_eps=1e-6, rope_theta=None, num_experts=4)

    found = difference(model, evolve(model, config=said))

    assert found.config == {"norm_eps": (1e-5, 1e-6)}
    assert not found.is_empty


def test_numbers_that_are_equal_as_f32_are_equal() -> None:
    model = _model()
    stored = evolve(model.config, norm_eps=float(np.float32(1e-5)))

    assert difference(model, evolve(model, config=stored)).is_empty


def test_a_scaling_with_its_factors_equals_the_same_without() -> None:
    model = _model("llama-rope")
    scaling = model.config.rope_scaling
    assert scaling
    told = evolve(scaling, long_factor=(1.0, 2.0))
    other = evolve(model.config, rope_scaling=told)
    linear = evolve(model.config, rope_scaling=RopeScaling("linear", 8.0))

    assert difference(model, evolve(model, config=other)).is_empty
    assert not difference(model, evolve(model, config=linear)).is_empty


def test_stored_names_that_differ_are_a_renaming() -> None:
    names = ({"norm.weight": "a"}, {"norm.weight": "b"})

    found = difference(_model(), _model(), names)

    assert [each.name for each in found.tensors if each.renamed] == ["norm.weight"]
    assert found.is_empty


def test_tokenizers_differ_in_ids_templates_and_words() -> None:
    model = _model()
    tokenizer = model.tokenizer
    assert tokenizer
    assert tokenizer.flat
    words = ["x", *tokenizer.flat.tokens[1:]]
    other = evolve(
        tokenizer,
        special_ids={"bos": 3},
        chat_template="another",
        flat=evolve(tokenizer.flat, tokens=words),
        json=None,
    )

    found = difference(model, evolve(model, tokenizer=other))

    assert len(found.tokenizer) >= 3
    assert not found.is_empty


@pytest.mark.parametrize("tokenizer", [None, Tokenizer(json="{}")])
def test_a_tokenizer_on_one_side_only_is_a_difference(
    tokenizer: Tokenizer | None,
) -> None:
    bare = evolve(_model(), tokenizer=None)

    found = difference(bare, evolve(bare, tokenizer=tokenizer))

    assert found.is_empty == (tokenizer is None)


def test_sources_in_files_are_compared_by_their_bytes() -> None:
    one = Tensor((6, 64), ENCODINGS["f32"], Memory.of(VALUES))

    assert compared("t", ONE, one).outcome == "equal"


def test_values_that_f32_cannot_tell_apart_are_not_said_to_be_the_same() -> None:
    one = Tensor.of(np.array([1.0, 2.0]))

    assert same_values(ONE, _of(VALUES.copy()))
    assert not same_values(one, Tensor.of(np.array([1.0, 2.0 + 1e-12])))
