"""Parts that no installed family has, against transformers: experts, score caps."""

from typing import Any

import pytest
import torch
from attrs import evolve

from aprhub import ModelIR
from aprhub.api import DecoderSpec, Family, ModelConfig
from aprhub.decoder.weights import loaded
from tests.judges.compare import Agreement, agreement
from tests.unit.decoder.foreign import canonical, made

TOLERANCE = 1e-5

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "vocab_size": 96,
    "max_position_embeddings": 64,
}
HEADS = {
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
}
CONFIG = ModelConfig(
    family="foreign",
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    norm_eps=1e-6,
    rope_theta=10000.0,
    activation="silu",
    tie_embeddings=False,
    **SIZES,
)


def compared(theirs: Any, model: ModelIR, family: Family) -> Agreement:
    ids = torch.arange(40)[None] * 7 % 96
    decoder = loaded(model, family).decoder
    with torch.inference_mode():
        found, expected = decoder(ids)[0], theirs(ids).logits[0]
    return agreement(found.numpy(), expected.numpy())


def mixture(*, normed: bool) -> Any:
    return made(
        "Qwen2Moe",
        **SIZES,
        **HEADS,
        num_experts=5,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        shared_expert_intermediate_size=40,
        norm_topk_prob=normed,
        tie_word_embeddings=False,
    )


EXPERTS = evolve(CONFIG, num_experts=5, num_experts_per_tok=2)


@pytest.mark.parametrize("normed", [False, True])
def test_routed_and_shared_experts_compute_as_in_transformers(normed: bool) -> None:
    theirs = mixture(normed=normed)
    config = evolve(EXPERTS, norm_topk_prob=normed)

    found = compared(theirs, *canonical(theirs, config, DecoderSpec()))

    assert found.within(TOLERANCE), found


def test_a_family_can_say_that_shares_sum_to_one() -> None:
    theirs = mixture(normed=True)

    told = compared(
        theirs, *canonical(theirs, EXPERTS, DecoderSpec(normed_shares=True))
    )
    left_out = compared(theirs, *canonical(theirs, EXPERTS, DecoderSpec()))

    assert told.within(TOLERANCE), told
    assert not left_out.within(10 * TOLERANCE)


@pytest.mark.parametrize(("cap", "agrees"), [(1.5, True), (None, False)])
def test_capped_attention_scores_compute_as_in_transformers(
    cap: float | None, agrees: bool
) -> None:
    theirs = made(
        "Gemma2",
        **SIZES,
        **HEADS,
        intermediate_size=48,
        head_dim=8,
        query_pre_attn_scalar=4,
        attn_logit_softcapping=1.5,
        final_logit_softcapping=30.0,
        sliding_window=16,
    )
    config = evolve(
        CONFIG,
        activation="gelu_pytorch_tanh",
        query_scale=4,
        attention_softcap=cap,
        final_softcap=30.0,
        sliding_window=16,
        layer_kinds=("sliding", "full"),
        tie_embeddings=True,
    )
    model, family = canonical(
        theirs,
        config,
        DecoderSpec(scaled_embedding=True),
        norm_offset=1.0,
        second_norm="attn.post_norm",
    )

    found = compared(theirs, model, family)

    assert found.within(TOLERANCE) is agrees, found
