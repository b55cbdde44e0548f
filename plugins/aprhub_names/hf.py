"""Names of `transformers` checkpoints; layouts are the canonical ones."""

from typing import Final

from aprhub.api import Naming, Rule

LAYER: Final = "model.layers.{i}."

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

FAMILIES: Final = {"gemma3": SANDWICH_NORMS}

HF: Final = Naming("hf", RULES, FAMILIES, prefixes=("model.",))
