"""A canonical model becomes a stored one; what would lose anything is refused."""

import json
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from aprhub.api import ENCODINGS, Encoding, Format, ModelIR, Naming, Tensor, Tokenizer
from aprhub.errors import UnrepresentableError
from aprhub.lift import decodable
from aprhub.lower import Lowered
from aprhub.rope import factors
from aprhub.testing.models import PICOS
from aprhub.tokenizer import assembling
from tests.unit import toys


def _vectors_in(name: str) -> Any:
    def encoding_for(_name: str, tensor: Tensor) -> Encoding:
        return ENCODINGS[name] if len(tensor.shape) == 1 else tensor.encoding

    return encoding_for


TOY = Format("toy", "Toy", (".toy",), naming="hf")
GGML = evolve(TOY, naming="ggml")
CANONICAL = evolve(TOY, naming=None)
WIDE_VECTORS = evolve(TOY, encoding_for=_vectors_in("f32"))
NARROW_VECTORS = evolve(TOY, encoding_for=_vectors_in("f16"))
NEVER_PACKED = evolve(
    TOY,
    encoding_for=lambda _name, tensor: (
        ENCODINGS["f32"] if tensor.encoding.is_quantized else tensor.encoding
    ),
)
NORM = "model.norm.weight"


def _model(pico: str) -> ModelIR:
    return PICOS[pico].model(toys.INSTALLED)


def _steps(found: Lowered, name: str) -> tuple[str, ...]:
    (fate,) = (each for each in found.fates if each.target == name)
    return fate.steps


def test_every_tensor_has_a_fate_with_all_three_names() -> None:
    model = _model("llama")

    found = toys.lower(model, TOY)

    assert [fate.canonical for fate in found.fates] == list(model.tensors)
    assert [fate.target for fate in found.fates] == list(found.stored.tensors)
    assert all(fate.source == fate.canonical for fate in found.fates)
    assert all(fate.is_copied for fate in found.fates)


def test_a_format_without_a_naming_stores_canonical_names() -> None:
    model = _model("llama")

    assert list(toys.lower(model, CANONICAL).stored.tensors) == list(model.tensors)


def test_nothing_is_changed_that_needs_no_change() -> None:
    model = _model("llama-quantised")

    found = toys.lower(model, TOY).stored

    sources = [tensor.source for tensor in model.tensors.values()]
    assert [tensor.source for tensor in found.tensors.values()] == sources


def test_rotary_rows_are_reordered_on_packed_bytes_and_said_so() -> None:
    found = toys.lower(_model("llama-quantised"), GGML)

    query = found.stored.tensors["blk.0.attn_q.weight"]
    assert (
        query.encoding
        == _model("llama-quantised").tensors["layers.0.attn.q.weight"].encoding
    )
    assert _steps(found, "blk.0.attn_q.weight")[-1:] == ("rope rows of q interleaved",)


def test_a_widening_is_made_unasked_and_remembered() -> None:
    found = toys.lower(_model("gemma3-narrow-norms"), WIDE_VECTORS)

    assert found.stored.tensors[NORM].encoding == ENCODINGS["f32"]
    assert found.stored.native["norm.weight"] == "bf16"
    assert "embed.weight" not in found.stored.native
    assert "cast to f32" in _steps(found, NORM)


def test_a_narrowing_unasked_is_refused_with_the_tensor_and_the_remedy() -> None:
    with pytest.raises(UnrepresentableError) as failure:
        toys.lower(_model("llama"), NARROW_VECTORS)

    assert "input_layernorm.weight: toy stores it as f16" in str(failure.value)
    assert "cannot hold every f32 value; allow it with --lossy" in str(failure.value)


def test_a_narrowing_that_is_allowed_is_counted() -> None:
    model = _model("llama")
    tensors = {**model.tensors, "norm.weight": _halves_of(64)}

    found = toys.lower(evolve(model, tensors=tensors), NARROW_VECTORS, lossy=True)
    found.stored.tensors[NORM].numpy()

    assert found.losses.found()[NORM].rounded == 64


def _halves_of(count: int) -> Tensor:
    return Tensor.of(np.full(count, 0.1, np.float32))


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_a_dtype_that_is_asked_for_goes_to_every_float(dtype: str) -> None:
    model = _model("llama-quantised")
    readable = evolve(model, tensors=decodable(model.tensors, toys.INSTALLED))

    found = toys.lower(readable, TOY, dtype=dtype)

    encodings = {tensor.encoding.name for tensor in found.stored.tensors.values()}
    assert encodings == {dtype}
    assert not found.stored.native


def test_a_dtype_bows_to_what_the_format_can_store() -> None:
    found = toys.lower(_model("llama"), WIDE_VECTORS, dtype="f16").stored

    assert found.tensors[NORM].encoding == ENCODINGS["f32"]
    assert found.tensors["lm_head.weight"].encoding == ENCODINGS["f16"]


def test_what_a_format_cannot_pack_is_decoded_and_said_so() -> None:
    model = evolve(_model("llama-quantised"))
    tensors = {
        name: evolve(tensor, decoder=_zeros if tensor.encoding.is_quantized else None)
        for name, tensor in model.tensors.items()
    }

    found = toys.lower(evolve(model, tensors=tensors), NEVER_PACKED)

    assert _steps(found, "model.embed_tokens.weight")[-1] == "decoded from q8_0"
    assert found.stored.tensors["model.embed_tokens.weight"].numpy().max() == 0


def _zeros(blocks: Any, _header: Any) -> Any:
    return np.zeros((len(blocks), 32), np.float32)


def test_packed_values_without_a_codec_are_refused_by_the_encoding() -> None:
    with pytest.raises(UnrepresentableError, match="q8_0, and no installed codec"):
        toys.lower(_model("llama-quantised"), NEVER_PACKED)


def test_a_tied_head_is_stored_where_the_format_wants_it() -> None:
    model = _model("llama-tied")

    found = toys.lower(model, evolve(TOY, stores_tied_head=True))

    head = found.stored.tensors["lm_head.weight"]
    assert head.source == model.tensors["embed.weight"].source
    assert _steps(found, "lm_head.weight") == ("made",)
    assert "lm_head.weight" not in toys.lower(model, TOY).stored.tensors


def test_an_untied_model_without_a_head_gets_none() -> None:
    model = _model("llama-tied")
    loose = evolve(model, config=evolve(model.config, tie_embeddings=False))

    found = toys.lower(loose, evolve(TOY, stores_tied_head=True)).stored

    assert "lm_head.weight" not in found.tensors


def test_rotary_factors_are_a_tensor_only_where_the_naming_has_one() -> None:
    model = _model("llama-rope")

    there = toys.lower(model, GGML).stored.tensors["rope_freqs.weight"]

    np.testing.assert_array_equal(there.numpy(), factors(model.config)["all"])
    assert len(toys.lower(model, TOY).stored.tensors) == len(model.tensors)


def test_a_model_in_memory_is_stored_with_a_claim_to_its_family() -> None:
    identity = toys.lower(_model("mistral"), GGML).stored.config.identity

    assert identity.hf_class == "MistralForCausalLM"
    assert identity.hf_model_type == "mistral"


def test_a_weight_without_a_name_in_the_target_is_refused() -> None:
    poor = Naming("poor", toys.INSTALLED.naming("hf").rules[:1])
    provided = evolve(toys.INSTALLED.namings[0], value=poor)
    registry = evolve(toys.INSTALLED, namings=(provided,))

    with pytest.raises(UnrepresentableError, match="naming poor has no name for"):
        _lower_with(registry)


def _lower_with(registry: Any) -> None:
    from aprhub.encodings import LowerOptions
    from aprhub.lower import lowered

    fmt, options = evolve(TOY, naming="poor"), LowerOptions()
    lowered(toys.of_memory(_model("llama")), toys.PATH, fmt, registry, options)


def test_a_program_is_made_once_and_not_before_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = _model("llama")
    asked: list[Tokenizer] = []

    def made(given: Tokenizer) -> bytes:
        asked.append(given)
        return b"made"

    monkeypatch.setattr(assembling, "program_of", made)

    tokenizer = toys.lower(model, evolve(TOY, tokenizer_form="json")).stored.tokenizer

    assert tokenizer is not None
    assert (tokenizer.has_json, asked) == (True, [])
    assert tokenizer.json == evolve(tokenizer, flat=None).json == "made"
    assert asked == [model.tokenizer]
    assert tokenizer == evolve(tokenizer, json="made") != evolve(tokenizer, json="")


@pytest.mark.parametrize("form", ["flat", "json"])
def test_the_tokenizer_comes_in_the_form_that_the_format_needs(form: str) -> None:
    model = _model("llama")
    assert model.tokenizer
    without: dict[str, Any] = {form: None}
    half = evolve(model, tokenizer=evolve(model.tokenizer, **without))

    found = toys.lower(half, evolve(TOY, tokenizer_form=form)).stored.tokenizer

    assert found
    assert getattr(found, form) is not None


def test_a_flat_vocabulary_has_a_token_for_every_row() -> None:
    model = _model("llama")

    found = toys.lower(model, evolve(TOY, tokenizer_form="flat")).stored.tokenizer

    assert found
    assert found.flat
    assert len(found.flat.tokens) == model.config.vocab_size


def test_what_a_vocabulary_made_flat_does_not_say_is_a_note() -> None:
    model = _model("llama")
    assert model.tokenizer
    assert model.tokenizer.json
    program = json.loads(model.tokenizer.json)
    text = json.dumps({**program, "normalizer": {"type": "NFC"}})
    given = evolve(model, tokenizer=evolve(model.tokenizer, json=text))
    half = evolve(model, tokenizer=evolve(model.tokenizer, json=text, flat=None))
    flat = evolve(TOY, tokenizer_form="flat")

    assert any("NFC" in note for note in toys.lower(half, flat).notes)
    assert toys.lower(given, flat).notes == ()
    assert toys.lower(half, evolve(TOY, tokenizer_form="json")).notes == ()
