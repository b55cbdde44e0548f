"""What a file claims to be, against what it holds; nothing is guessed in silence."""

from typing import Any

import pytest
from attrs import evolve

from aprhub.api import ModelCheckError, StoredModel, Tensor
from aprhub.errors import IdentityError
from aprhub.identity import Fit, borne_out, resolved
from aprhub.lift import Lifted, LiftOptions, lifted
from aprhub.testing.models import PICOS
from tests.unit import toys

KNOWN = (
    "gemma, gemma2, gemma3, llama, mistral, mixtral, phi3, qwen2, qwen2_moe, qwen3,"
    " qwen3_moe"
)


def _stored(pico: str, naming: str = "hf", **claims: Any) -> StoredModel:
    return toys.stored(PICOS[pico].model(toys.INSTALLED), naming, **claims)


def _resolved(stored: StoredModel, wanted: str | None = None) -> tuple[Fit, str]:
    namings = [toys.INSTALLED.naming(name) for name in ("hf", "ggml")]
    fit, notes = resolved(stored, toys.INSTALLED, namings, wanted)
    return fit, " ".join(notes)


def _lifted(stored: StoredModel, **options: Any) -> Lifted:
    chosen = LiftOptions(**options)
    return lifted(
        evolve(stored, naming=None, namings=("hf", "ggml")), toys.INSTALLED, chosen
    )


@pytest.mark.parametrize("pico", sorted(PICOS))
@pytest.mark.parametrize("naming", ["hf", "ggml"])
def test_every_family_is_recognised_by_its_own_claim(pico: str, naming: str) -> None:
    family = toys.INSTALLED.family(PICOS[pico].family)

    fit, note = _resolved(_stored(pico, naming, hf_class=family.hf_classes[0]))

    assert fit.family == family
    assert fit.is_perfect
    assert note == ""


@pytest.mark.parametrize(
    ("activation", "first"),
    [(None, "llama"), ("silu", "llama"), ("gelu_pytorch_tanh", "gemma")],
)
def test_of_families_with_the_same_tensors_the_likeliest_is_first(
    activation: str | None, first: str
) -> None:
    model = _stored("llama")
    model = evolve(model, config=evolve(model.config, activation=activation))
    families = [each.value for each in toys.INSTALLED.families]

    found = borne_out(model, families, [toys.INSTALLED.naming("hf")])

    assert found[0].name == first
    assert {"gemma", "llama", "mistral"} <= {each.name for each in found}


def test_a_file_without_a_claim_is_refused_with_the_known_families() -> None:
    with pytest.raises(IdentityError) as failure:
        _resolved(_stored("llama"))

    assert "does not say what architecture it is (C-01)" in str(failure.value)
    assert f"--family {KNOWN}" in str(failure.value)
    assert "--naming keep" in str(failure.value)


def test_an_unknown_claim_is_refused_with_the_known_families() -> None:
    with pytest.raises(IdentityError) as failure:
        _resolved(_stored("llama", architecture="llamba"))

    assert "architecture 'llamba' is not a known family" in str(failure.value)
    assert f"(known: {KNOWN})" in str(failure.value)


def test_claims_that_contradict_each_other_are_refused() -> None:
    stored = _stored("qwen2", architecture="llama", hf_model_type="qwen2")

    with pytest.raises(IdentityError, match="'llama', 'qwen2' contradict each other"):
        _resolved(stored)


@pytest.mark.parametrize("naming", ["hf", "ggml"])
def test_a_llama_claim_over_qwen2_tensors_is_refused_with_the_repair(
    naming: str,
) -> None:
    with pytest.raises(IdentityError) as failure:
        _resolved(_stored("qwen2", naming, architecture="llama"))

    assert "claims to be 'llama', but its tensors are those of qwen2" in str(
        failure.value
    )
    assert "say --family qwen2" in str(failure.value)
    assert "layers.0.attn.o.bias" in [each.subject for each in failure.value.faults]


def test_what_the_user_says_beats_what_the_file_claims() -> None:
    fit, _ = _resolved(_stored("qwen2", architecture="llama"), "qwen2")

    assert fit.family.name == "qwen2"
    assert fit.is_perfect


@pytest.mark.parametrize(
    ("claims", "family", "why"),
    [
        ({}, "llama", "nothing in the file says otherwise"),
        ({"hints": ("Mistral 7B Instruct",)}, "mistral", "its name says so"),
        ({"hf_class": "MistralForCausalLM"}, "mistral", ""),
        ({"hf_model_type": "llama"}, "llama", ""),
    ],
)
def test_families_that_share_a_claim_are_told_apart_and_said_so(
    claims: dict[str, Any], family: str, why: str
) -> None:
    fit, note = _resolved(_stored("mistral", architecture="llama", **claims))

    assert fit.family.name == family
    assert why in note
    assert bool(note) == bool(why)


def test_a_file_of_mixed_namings_is_read_tensor_by_tensor() -> None:
    one = _stored("qwen3", "hf", architecture="qwen3")
    other = _stored("qwen3", "ggml", architecture="qwen3")
    cut = len(one.tensors) // 2
    mixed = {**_part(one, 0, cut), **_part(other, cut, len(one.tensors))}

    found = _lifted(evolve(one, tensors=mixed))

    model = PICOS["qwen3"].model(toys.INSTALLED)
    assert found.model.tensors.keys() == model.tensors.keys()
    assert not found.gone


def _part(stored: StoredModel, start: int, stop: int) -> dict[str, Tensor]:
    return dict(list(stored.tensors.items())[start:stop])


def test_a_weight_under_two_spellings_is_ambiguous() -> None:
    stored = _stored("qwen3", "hf", architecture="qwen3")
    twice = {
        **stored.tensors,
        "output_norm.weight": stored.tensors["model.norm.weight"],
    }

    with pytest.raises(ModelCheckError, match="stored twice, also as model"):
        _lifted(evolve(stored, tensors=twice))


def test_names_without_their_prefix_are_those_of_a_base_model() -> None:
    stored = _stored("qwen3", "hf", architecture="qwen3")
    bare = {name: name.removeprefix("model.") for name in stored.tensors}

    found = _lifted(toys.renamed(stored, bare))

    assert found.sources["norm.weight"] == "norm.weight"
    assert len(found.model.tensors) == len(stored.tensors)


def test_tensors_that_the_family_does_not_have_are_refused_all_at_once() -> None:
    stored = _stored("llama", architecture="llama")
    norm = stored.tensors["model.norm.weight"]
    more = evolve(stored, tensors={**stored.tensors, "x": norm, "y.weight": norm})

    with pytest.raises(ModelCheckError, match="2 of 23 tensors") as failure:
        _lifted(more)
    found = _lifted(more, lossy=True)

    assert [each.subject for each in failure.value.faults] == ["x", "y.weight"]
    assert found.gone == {"x": "not in llama", "y.weight": "not in llama"}


def test_a_model_that_nobody_knows_keeps_its_names_when_told_to() -> None:
    stored = _stored("llama", architecture="llamba")

    found = _lifted(stored, naming="keep")

    assert found.family is None
    assert found.model.config.family is None
    assert list(found.model.tensors) == list(stored.tensors)


def test_layer_numbers_with_leading_zeros_are_no_layers() -> None:
    stored = _stored("llama", architecture="llama")
    name = "model.layers.1.input_layernorm.weight"
    odd = toys.renamed(stored, {name: name.replace(".1.", ".01.")})

    with pytest.raises(ModelCheckError, match=r"model\.layers\.01\.input_layernorm"):
        _lifted(odd)
