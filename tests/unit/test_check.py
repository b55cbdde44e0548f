"""A model fits its family, or every fault of it is named at once."""

from typing import Any

import numpy as np
import pytest
from attrs import evolve

from aprhub.api import Fault, FlatVocabulary, ModelIR, Tensor, Tokenizer
from aprhub.check import MAX_LAYERS, checked, faults
from aprhub.errors import ModelCheckError
from aprhub.testing.models import PICOS
from tests.unit import toys

LLAMA = toys.INSTALLED.family("llama")


@pytest.fixture
def model() -> ModelIR:
    return PICOS["llama"].model(toys.INSTALLED)


def _faults(model: ModelIR) -> dict[str, str]:
    return {fault.subject: fault.problem for fault in faults(model, LLAMA)}


def _with(model: ModelIR, name: str, *shape: int) -> ModelIR:
    tensor = Tensor.of(np.zeros(shape, np.float32))
    return evolve(model, tensors={**model.tensors, name: tensor})


def _less(model: ModelIR, *names: str) -> ModelIR:
    rest = {key: each for key, each in model.tensors.items() if key not in names}
    return evolve(model, tensors=rest)


def _configured(model: ModelIR, **values: Any) -> ModelIR:
    return evolve(model, config=evolve(model.config, **values))


def test_every_fault_of_a_model_is_named_at_once(model: ModelIR) -> None:
    broken = _less(model, "norm.weight", "layers.1.ffn.up.weight")
    broken = _with(broken, "layers.0.attn.k.weight", 64, 64)
    broken = _with(broken, "layers.2.attn.k.weight", 48, 64)

    found = _faults(broken)

    assert found["norm.weight"] == "missing"
    assert found["layers.1.ffn.up.weight"] == "missing"
    assert (
        "has shape (64, 64), expected (48, 64) = (num_kv_heads"
        in (found["layers.0.attn.k.weight"])
    )
    assert "beyond the 2 layers" in found["layers.2.attn.k.weight"]
    assert len(found) == 4


def test_faults_are_raised_together_with_the_file(model: ModelIR) -> None:
    lifted = toys.of_memory(_less(model, "norm.weight", "embed.weight"))

    with pytest.raises(ModelCheckError, match=r"model\.toy: .* 2 fault") as failure:
        checked(lifted, toys.stored(model))

    assert len(failure.value.faults) == 2
    assert failure.value.exit_code == 1


@pytest.mark.parametrize(
    "name",
    ["hidden_size", "num_layers", "num_heads", "intermediate_size", "vocab_size"],
)
@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "not given by the file (C-03)"),
        (0, "must be positive, is 0 (C-03)"),
        (-4, "must be positive, is -4 (C-03)"),
    ],
)
def test_sizes_are_judged_before_the_shapes_that_need_them(
    model: ModelIR, name: str, value: int | None, what: str
) -> None:
    assert _faults(_configured(model, **{name: value})) == {name: what}


def test_all_wrong_sizes_are_named_at_once(model: ModelIR) -> None:
    broken = _configured(
        model, hidden_size=0, num_kv_heads=3, head_dim=-1, num_layers=MAX_LAYERS + 1
    )

    assert _faults(broken).keys() == {
        "hidden_size",
        "num_kv_heads",
        "head_dim",
        "num_layers",
    }


def test_a_layer_count_of_a_lie_is_not_counted_to(model: ModelIR) -> None:
    assert _faults(_configured(model, num_layers=1 << 60)).keys() == {"num_layers"}


def test_a_missing_head_needs_a_tie(model: ModelIR) -> None:
    headless = _less(model, "head.weight")

    assert "not tied" in _faults(headless)["head.weight"]
    assert _faults(_configured(headless, tie_embeddings=True)) == {}


def test_a_weight_against_its_flag_is_a_fault(model: ModelIR) -> None:
    biased = _with(model, "layers.0.attn.q.bias", 96)

    assert _faults(biased) == {
        "layers.0.attn.q.bias": "there, though attention_bias is false"
    }


def test_a_flag_needs_its_weights_in_every_layer(model: ModelIR) -> None:
    found = _faults(_configured(model, mlp_bias=True))

    assert len(found) == 6
    assert set(found.values()) == {"missing"}


def test_more_tokens_than_embedding_rows_are_a_fault(model: ModelIR) -> None:
    flat = FlatVocabulary("gpt2", [str(number) for number in range(289)])
    crowded = evolve(model, tokenizer=Tokenizer(flat))

    assert _faults(crowded) == {"tokenizer": "289 tokens for 288 embedding rows"}


@pytest.mark.parametrize("odd", ["", "ab", " ", "ab ", " ab", "\0 b", "a \0"])
@pytest.mark.parametrize("before", [[], ["a b"], ["a b c", "a\0 \0b"]])
def test_a_merge_rule_is_two_tokens_and_a_space(
    before: list[str], odd: str, model: ModelIR
) -> None:
    flat = FlatVocabulary("gpt2", ["a"], merges=[*before, odd, "a b"])
    found = _faults(evolve(model, tokenizer=Tokenizer(flat)))

    sound = odd.strip(" ") == odd and " " in odd
    wanted = f"merge {odd!r} is not two tokens and a space"
    assert found == ({} if sound else {"tokenizer": wanted})


def test_a_model_of_no_family_is_not_checked(model: ModelIR) -> None:
    lifted = evolve(toys.of_memory(_less(model, "norm.weight")), family=None)

    assert checked(lifted, toys.stored(model)) is lifted


def test_a_fault_reads_as_one_line_with_its_repair() -> None:
    assert str(Fault("a", "is wrong", "")) == "a: is wrong"
    assert str(Fault("a", "is wrong", "mend it")) == "a: is wrong (mend it)"


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"norm_eps": 1e-60}, "1e-60 is less than a 32-bit float holds"),
        ({"norm_eps": 1e60}, "1e+60 is more than a 32-bit float holds"),
        ({"rope_theta": 1e-40}, "1e-40 is less than a 32-bit float holds"),
    ],
)
def test_numbers_fit_the_floats_that_programs_keep_them_in(
    model: ModelIR, values: dict[str, float], what: str
) -> None:
    assert _faults(_configured(model, **values)) == dict.fromkeys(values, what)
