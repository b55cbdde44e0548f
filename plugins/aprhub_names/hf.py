"""Names of `transformers` checkpoints; layouts are the canonical ones."""

from typing import Final

from aprhub.api import Naming, Rule

LAYER: Final = "model.layers.{i}."

GATE, UP, DOWN = (
    f"layers.{{i}}.experts.{{j}}.ffn.{part}.weight" for part in ("gate", "up", "down")
)
SHARED: Final = "layers.{i}.shared."

RULES: Final = (
    Rule("model.embed_tokens.weight", "embed.weight"),
    Rule("model.norm.weight", "norm.weight"),
    Rule("lm_head.weight", "head.weight"),
    Rule(LAYER + "input_layernorm.weight", "layers.{i}.attn.norm.weight"),
    Rule(LAYER + "self_attn.q_proj.weight", "layers.{i}.attn.q.weight"),
    Rule(LAYER + "self_attn.k_proj.weight", "layers.{i}.attn.k.weight"),
    Rule(LAYER + "self_attn.v_proj.weight", "layers.{i}.attn.v.weight"),
    Rule(LAYER + "self_attn.o_proj.weight", "layers.{i}.attn.o.weight"),
    Rule(LAYER + "self_attn.q_proj.bias", "layers.{i}.attn.q.bias"),
    Rule(LAYER + "self_attn.k_proj.bias", "layers.{i}.attn.k.bias"),
    Rule(LAYER + "self_attn.v_proj.bias", "layers.{i}.attn.v.bias"),
    Rule(LAYER + "self_attn.o_proj.bias", "layers.{i}.attn.o.bias"),
    Rule(LAYER + "self_attn.q_norm.weight", "layers.{i}.attn.q_norm.weight"),
    Rule(LAYER + "self_attn.k_norm.weight", "layers.{i}.attn.k_norm.weight"),
    Rule(LAYER + "post_attention_layernorm.weight", "layers.{i}.ffn.norm.weight"),
    Rule(LAYER + "mlp.gate_proj.weight", "layers.{i}.ffn.gate.weight"),
    Rule(LAYER + "mlp.up_proj.weight", "layers.{i}.ffn.up.weight"),
    Rule(LAYER + "mlp.down_proj.weight", "layers.{i}.ffn.down.weight"),
    Rule(LAYER + "mlp.gate_proj.bias", "layers.{i}.ffn.gate.bias"),
    Rule(LAYER + "mlp.up_proj.bias", "layers.{i}.ffn.up.bias"),
    Rule(LAYER + "mlp.down_proj.bias", "layers.{i}.ffn.down.bias"),
)

SANDWICH_NORMS: Final = (
    Rule(LAYER + "post_attention_layernorm.weight", "layers.{i}.attn.post_norm.weight"),
    Rule(LAYER + "pre_feedforward_layernorm.weight", "layers.{i}.ffn.norm.weight"),
    Rule(
        LAYER + "post_feedforward_layernorm.weight", "layers.{i}.ffn.post_norm.weight"
    ),
)
"""Families that normalise before and after each part spell the norms differently."""

EXPERTS: Final = (
    Rule(LAYER + "mlp.gate.weight", "layers.{i}.router.weight"),
    Rule(LAYER + "mlp.experts.{j}.gate_proj.weight", GATE),
    Rule(LAYER + "mlp.experts.{j}.up_proj.weight", UP),
    Rule(LAYER + "mlp.experts.{j}.down_proj.weight", DOWN),
    Rule(LAYER + "mlp.shared_expert.gate_proj.weight", SHARED + "ffn.gate.weight"),
    Rule(LAYER + "mlp.shared_expert.up_proj.weight", SHARED + "ffn.up.weight"),
    Rule(LAYER + "mlp.shared_expert.down_proj.weight", SHARED + "ffn.down.weight"),
    Rule(LAYER + "mlp.shared_expert_gate.weight", SHARED + "gate.weight"),
)

STACKED_EXPERTS: Final = (
    Rule(LAYER + "mlp.experts.gate_up_proj", (GATE, UP)),
    Rule(LAYER + "mlp.experts.down_proj", DOWN),
)
"""How `transformers` 5 has experts in memory, and saves them when told to."""

MIXTRAL_EXPERTS: Final = (
    Rule(LAYER + "block_sparse_moe.gate.weight", "layers.{i}.router.weight"),
    Rule(LAYER + "block_sparse_moe.experts.{j}.w1.weight", GATE),
    Rule(LAYER + "block_sparse_moe.experts.{j}.w3.weight", UP),
    Rule(LAYER + "block_sparse_moe.experts.{j}.w2.weight", DOWN),
)

FUSED: Final = (
    Rule(
        LAYER + "self_attn.qkv_proj.weight",
        tuple(f"layers.{{i}}.attn.{part}.weight" for part in "qkv"),
    ),
    Rule(
        LAYER + "mlp.gate_up_proj.weight",
        tuple(f"layers.{{i}}.ffn.{part}.weight" for part in ("gate", "up")),
    ),
)

FAMILIES: Final = {
    "gemma2": SANDWICH_NORMS,
    "gemma3": SANDWICH_NORMS,
    "mixtral": (*MIXTRAL_EXPERTS, *STACKED_EXPERTS, EXPERTS[0]),
    "phi3": FUSED,
}

HF: Final = Naming(
    "hf", (*RULES, *EXPERTS, *STACKED_EXPERTS), FAMILIES, prefixes=("model.",)
)
