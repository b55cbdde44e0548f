"""Names and layouts of GGUF files, as llama.cpp reads them."""

from typing import Final

from aprhub.api import Naming, Rule
from aprhub_names.transforms import NORM_PLUS_ONE, ROPE_INTERLEAVED

BLOCK: Final = "blk.{i}."

RULES: Final = (
    Rule("token_embd.weight", "embed.weight"),
    Rule("output_norm.weight", "norm.weight"),
    Rule("output.weight", "head.weight"),
    Rule(BLOCK + "attn_norm.weight", "layers.{i}.attn.norm.weight"),
    Rule(BLOCK + "attn_q.weight", "layers.{i}.attn.q.weight"),
    Rule(BLOCK + "attn_k.weight", "layers.{i}.attn.k.weight"),
    Rule(BLOCK + "attn_v.weight", "layers.{i}.attn.v.weight"),
    Rule(BLOCK + "attn_output.weight", "layers.{i}.attn.o.weight"),
    Rule(BLOCK + "attn_q.bias", "layers.{i}.attn.q.bias"),
    Rule(BLOCK + "attn_k.bias", "layers.{i}.attn.k.bias"),
    Rule(BLOCK + "attn_v.bias", "layers.{i}.attn.v.bias"),
    Rule(BLOCK + "attn_output.bias", "layers.{i}.attn.o.bias"),
    Rule(BLOCK + "attn_q_norm.weight", "layers.{i}.attn.q_norm.weight"),
    Rule(BLOCK + "attn_k_norm.weight", "layers.{i}.attn.k_norm.weight"),
    Rule(BLOCK + "post_attention_norm.weight", "layers.{i}.attn.post_norm.weight"),
    Rule(BLOCK + "ffn_norm.weight", "layers.{i}.ffn.norm.weight"),
    Rule(BLOCK + "ffn_gate.weight", "layers.{i}.ffn.gate.weight"),
    Rule(BLOCK + "ffn_up.weight", "layers.{i}.ffn.up.weight"),
    Rule(BLOCK + "ffn_down.weight", "layers.{i}.ffn.down.weight"),
    Rule(BLOCK + "ffn_gate.bias", "layers.{i}.ffn.gate.bias"),
    Rule(BLOCK + "ffn_up.bias", "layers.{i}.ffn.up.bias"),
    Rule(BLOCK + "ffn_down.bias", "layers.{i}.ffn.down.bias"),
    Rule(BLOCK + "post_ffw_norm.weight", "layers.{i}.ffn.post_norm.weight"),
)

GGML: Final = Naming(
    "ggml",
    RULES,
    adjustments=(*ROPE_INTERLEAVED, NORM_PLUS_ONE),
    rope_factors="rope_freqs.weight",
)
