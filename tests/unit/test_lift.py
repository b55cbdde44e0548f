"""A stored model becomes the canonical one, and what it lacked is filled in."""

from collections.abc import Callable

import numpy as np
import pytest
from attrs import evolve

from aprhub.api import FileRange, ModelIR, StoredModel, Tensor, UnrepresentableError
from aprhub.lift import Lifted, LiftOptions, lifted
from aprhub.testing.models import PICOS
from tests.unit import toys

Change = Callable[[StoredModel], StoredModel]


def _model(pico: str) -> ModelIR:
    return PICOS[pico].model(toys.INSTALLED)


def _stored(pico: str, naming: str = "hf") -> StoredModel:
    family = toys.INSTALLED.family(PICOS[pico].family)
    return toys.stored(_model(pico), naming, hf_class=family.hf_classes[0])


def _lifted(stored: StoredModel) -> Lifted:
    return lifted(stored, toys.INSTALLED, LiftOptions())


def _configured(stored: StoredModel, **values: object) -> StoredModel:
    return evolve(stored, config=evolve(stored.config, **values))  # type: ignore[arg-type]


@pytest.mark.parametrize("pico", sorted(PICOS))
@pytest.mark.parametrize("naming", ["hf", "ggml", "apr"])
def test_what_was_lowered_is_lifted_to_the_same_model(pico: str, naming: str) -> None:
    model = _model(pico)

    found = _lifted(_stored(pico, naming)).model

    assert found.tensors.keys() == model.tensors.keys()
    for name, tensor in model.tensors.items():
        assert found.tensors[name].shape == tensor.shape
        if not tensor.encoding.is_quantized:
            np.testing.assert_array_equal(
                found.tensors[name].numpy().astype(np.float64),
                tensor.numpy().astype(np.float64),
            )
        else:
            assert found.tensors[name].tobytes() == tensor.tobytes()


@pytest.mark.parametrize("naming", [None, "keep"])
def test_what_a_model_says_besides_its_weights_is_kept(naming: str | None) -> None:
    model = _model("llama")
    stored = evolve(_stored("llama"), sampling=model.sampling)

    found = lifted(stored, toys.INSTALLED, LiftOptions(naming=naming)).model

    assert model.sampling.known()
    assert found.sampling == model.sampling
    assert found.provenance == stored.provenance
    assert found.carried == stored.carried


def test_sizes_that_the_file_does_not_say_are_read_off_the_tensors() -> None:
    stored = _configured(
        _stored("qwen3"), vocab_size=None, head_dim=None, tie_embeddings=None
    )

    config = _lifted(stored).model.config

    assert (config.vocab_size, config.head_dim) == (288, 24)
    assert config.tie_embeddings is True


def test_flags_that_the_file_does_not_say_are_read_off_the_tensors() -> None:
    silent = {"attention_bias": None, "mlp_bias": None}

    biased = _lifted(_configured(_stored("llama-biased"), **silent)).model.config
    plain = _lifted(_configured(_stored("llama"), **silent)).model.config

    assert (biased.attention_bias, biased.mlp_bias) == (True, True)
    assert (plain.attention_bias, plain.mlp_bias) == (False, False)


def _with_head(stored: StoredModel, head: Tensor) -> StoredModel:
    return evolve(stored, tensors={**stored.tensors, "lm_head.weight": head})


def test_a_copy_of_the_embedding_is_no_head_where_it_is_tied() -> None:
    stored = _stored("llama-tied")
    copy = Tensor.of(stored.tensors["model.embed_tokens.weight"].numpy().copy())

    found = _lifted(_with_head(stored, copy))

    assert "head.weight" not in found.model.tensors
    assert found.model.config.tie_embeddings is True
    assert "a copy of the embedding" in found.gone["lm_head.weight"]


def test_another_head_unties_the_model_and_is_said_so() -> None:
    stored = _stored("llama-tied")
    other = Tensor.of(
        stored.tensors["model.embed_tokens.weight"].numpy() + np.float16(1)
    )

    found = _lifted(_with_head(stored, other))

    assert "head.weight" in found.model.tensors
    assert found.model.config.tie_embeddings is False
    assert "holds another head; it is kept" in found.notes[0]


def test_an_untied_copy_of_the_embedding_stays() -> None:
    stored = _configured(_stored("llama-tied"), tie_embeddings=False)
    copy = stored.tensors["model.embed_tokens.weight"]

    assert "head.weight" in _lifted(_with_head(stored, copy)).model.tensors


def test_rotary_factors_become_the_scaling_that_they_come_from() -> None:
    stored = _configured(_stored("llama-rope", "ggml"), rope_scaling=None)

    found = _lifted(stored)

    assert found.model.config.rope_scaling == _model("llama-rope").config.rope_scaling
    assert "became the rope scaling 'llama3'" in found.gone["rope_freqs.weight"]


def test_a_tensor_is_narrowed_back_to_what_it_was() -> None:
    stored = _stored("gemma3-narrow-norms", "apr")

    found = _lifted(evolve(stored, native={"norm.weight": "bf16"}))

    assert found.model.tensors["norm.weight"].encoding.name == "bf16"
    assert "narrowed back to bf16" in found.steps["norm.weight"]


def test_a_tensor_that_was_changed_meanwhile_is_not_rounded_in_silence() -> None:
    stored = _stored("llama")
    changed = Tensor.of(np.full(64, 0.1, np.float32))
    tensors = {**stored.tensors, "model.norm.weight": changed}

    found = _lifted(evolve(stored, tensors=tensors, native={"norm.weight": "bf16"}))

    with pytest.raises(UnrepresentableError, match=r"norm\.weight: 64 values"):
        found.model.tensors["norm.weight"].numpy()


def test_lifting_reads_no_weights() -> None:
    stored = _stored("llama", "ggml")
    absent = {
        name: Tensor(each.shape, each.encoding, FileRange(toys.PATH, 0, each.nbytes))
        for name, each in stored.tensors.items()
    }

    found = _lifted(evolve(stored, tensors=absent))

    assert len(found.model.tensors) == len(absent)


def test_canonical_tensors_come_in_the_order_of_the_table() -> None:
    stored = _stored("llama")
    shuffled = dict(sorted(stored.tensors.items(), key=lambda item: item[0][::-1]))

    found = list(_lifted(evolve(stored, tensors=shuffled)).model.tensors)

    assert found == list(_lifted(stored).model.tensors)
    assert found[:2] == ["embed.weight", "layers.0.attn.norm.weight"]
    assert found[-2:] == ["norm.weight", "head.weight"]
    assert found.index("layers.0.ffn.down.weight") < found.index(
        "layers.1.attn.norm.weight"
    )
