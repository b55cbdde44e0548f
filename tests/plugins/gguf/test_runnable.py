"""What llama.cpp would refuse is found before anybody runs it."""

from typing import Any

import numpy as np
import pytest
from attrs import evolve

from aprhub.api import (
    Family,
    Identity,
    ModelConfig,
    RopeScaling,
    StoredModel,
    Tokenizer,
)
from aprhub_gguf import GGUF
from tests.plugins.gguf.models import CONFIG, VOCABULARY, model, packed, tensors

LLAMA = Family("llama", "llama", "llama", ("LlamaForCausalLM",), ("llama",), ())
SOUND = evolve(model(), family=LLAMA)


def configured(**values: Any) -> StoredModel:
    return evolve(SOUND, config=evolve(CONFIG, **values))


def spoken(**values: Any) -> StoredModel:
    return evolve(SOUND, tokenizer=Tokenizer(flat=evolve(VOCABULARY, **values)))


def holding(**values: Any) -> StoredModel:
    """Return the sound model with tensors added, or taken out where None."""
    names = {name.replace("__", "."): each for name, each in values.items()}
    merged = {**tensors(), **names}
    kept = {name: each for name, each in merged.items() if each is not None}
    return evolve(SOUND, tensors=kept)


def as_architecture(name: str, **values: Any) -> StoredModel:
    config: ModelConfig = evolve(CONFIG, identity=Identity(name), **values)
    return evolve(SOUND, config=config, family=None)


def test_a_sound_model_has_no_fault() -> None:
    assert GGUF.runnable(SOUND) == []
    assert GGUF.runnable(as_architecture("qwen3")) == []


FAULTY = {
    "architecture of hugging face": (as_architecture("LlamaForCausalLM"), "general."),
    "architecture missing": (configured(identity=Identity()), "general.architecture"),
    "no tokenizer": (evolve(SOUND, tokenizer=None), "tokenizer: missing"),
    "context length": (configured(max_position_embeddings=None), "max_position"),
    "hidden size": (configured(hidden_size=None), "hidden_size"),
    "no layers": (configured(num_layers=0), "num_layers"),
    "too many layers": (configured(num_layers=513), "num_layers: 513"),
    "norm epsilon": (configured(norm_eps=None), "norm_eps"),
    "no base of frequencies": (configured(rope_theta=0.0), "rope_theta"),
    "experts used": (configured(num_experts=2, num_experts_per_tok=3), "3 of 2"),
    "experts unused": (configured(num_experts=2), "0 of 2"),
    "weights of experts": (
        as_architecture(
            "qwen2moe",
            num_experts=2,
            num_experts_per_tok=1,
            norm_topk_prob=True,
            head_dim=16,
        ),
        "norm_topk_prob: true",
    ),
    "longrope without factors": (
        configured(rope_scaling=RopeScaling("longrope")),
        "rope_factors_short.weight",
    ),
    "shared heads": (configured(num_kv_heads=3), "3 do not divide 4"),
    "uneven heads": (configured(num_heads=5, head_dim=None), "not 5 equal heads"),
    "qwen2 heads": (as_architecture("qwen2", head_dim=32), "not 64 wide"),
    "scaling": (configured(rope_scaling=RopeScaling("spiral", 2.0)), "spiral"),
    "llama3 scaling without factors": (
        configured(rope_scaling=RopeScaling("llama3", 8.0)),
        "rope_freqs.weight",
    ),
    "yarn of another ramp": (
        configured(rope_scaling=RopeScaling("yarn", 4.0, 64, truncate=False)),
        "rope_scaling.truncate: false, where llama.cpp computes with true",
    ),
    "activation": (
        configured(activation="relu"),
        "activation: relu, where llama.cpp computes with silu or swish",
    ),
    "query scale": (
        as_architecture("gemma3", query_scale=24),
        "query_scale: 24, where llama.cpp computes with 16",
    ),
    "bias without a place": (
        evolve(
            as_architecture("qwen3"),
            tensors=holding(blk__0__attn_output__bias=packed("f32", 64)).tensors,
        ),
        "attn_output.bias: llama.cpp has no place for it in qwen3",
    ),
    "factors without a place": (
        evolve(
            as_architecture("phi3"),
            tensors=holding(rope_freqs__weight=packed("f32", 8)).tensors,
        ),
        "rope_freqs.weight: llama.cpp has no place for it in phi3",
    ),
    "partly rotary llama": (
        evolve(SOUND, config=evolve(SOUND.config, rotary_dim=8)),
        "8 of 16",
    ),
    "norm in bf16": (
        holding(output_norm__weight=packed("bf16", 64)),
        "output_norm.weight: bf16",
    ),
    "bias in f16": (holding(blk__0__attn_q__bias=packed("f16", 64)), "f16"),
    "weights in f64": (holding(blk__0__attn_q__weight=packed("f64", 64, 64)), "f64"),
    "weights in i8": (holding(blk__0__attn_q__weight=packed("i8", 64, 64)), "i8"),
    "weights in q8_1": (holding(blk__0__attn_q__weight=packed("q8_1", 64, 64)), "q8_1"),
    "no embedding": (holding(token_embd__weight=None), "token_embd.weight: missing"),
    "no final norm": (holding(output_norm__weight=None), "output_norm.weight: missing"),
    "layer beyond the count": (
        holding(blk__1__attn_norm__weight=packed("f32", 64)),
        "blk.1: the model has 1 layers",
    ),
    "layer without a weight": (configured(num_layers=2), "blk.1.ffn_up.weight"),
    "short embedding": (
        holding(token_embd__weight=packed("f32", 5, 64)),
        "(5, 64), but tokens and hidden size give (6, 64)",
    ),
    "short head": (holding(output__weight=packed("f32", 5, 64)), "output.weight: (5"),
    "repeated tokens": (spoken(tokens=("a",) * 6), "tokens: 1"),
    "unknown tokenizer": (spoken(model="novel"), "does not know 'novel'"),
    "no merges": (spoken(model="gpt2"), "merges: missing"),
    "no scores": (spoken(scores=None), "scores: missing"),
    "short scores": (spoken(scores=np.zeros(2, np.float32)), "scores: 2 for 6"),
    "short types": (spoken(types=np.zeros(2, np.int32)), "types: 2 for 6"),
    "unknown pre-tokenizer": (
        spoken(model="gpt2", merges=(), pre="novel"),
        "tokenizer.ggml.pre: llama.cpp does not know 'novel'",
    ),
    "head where none may be": (
        evolve(
            as_architecture("gemma2"),
            tensors=holding(output__weight=packed("f32", 6, 64)).tensors,
        ),
        "output.weight: gemma2",
    ),
    "no head where one must be": (
        as_architecture("qwen2moe"),
        "does not use the embedding (write a Hugging Face folder instead)",
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_named(name: str) -> None:
    stored, expected = FAULTY[name]

    faults = [str(fault) for fault in GGUF.runnable(stored)]

    assert any(expected in fault for fault in faults), faults


def test_the_largest_gemma_scales_queries_by_a_share_of_the_hidden_size() -> None:
    largest = as_architecture("gemma3", query_scale=8.0, num_heads=8, num_layers=62)
    assert GGUF.runnable(largest) == []


@pytest.mark.parametrize("truncate", [None, True])
def test_a_yarn_of_the_usual_ramp_has_no_fault(truncate: bool | None) -> None:
    usual = RopeScaling("yarn", 4.0, 64, beta_fast=32.0, truncate=truncate)
    assert GGUF.runnable(configured(rope_scaling=usual)) == []


def test_of_a_model_whose_names_were_kept_nothing_is_said_to_be_unheeded() -> None:
    stored = configured(sliding_window=8)
    assert len(GGUF.unheeded(stored)) == 1
    assert GGUF.unheeded(evolve(stored, family=None)) == ()


def test_what_nobody_knows_of_an_architecture_is_not_judged() -> None:
    other = as_architecture("granite", activation="relu", query_scale=3.0)
    biased = holding(blk__0__attn_output__bias=packed("f32", 64)).tensors
    assert GGUF.runnable(evolve(other, tensors=biased)) == []
