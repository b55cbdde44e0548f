"""Names and layouts of GGUF files, as llama.cpp reads them."""

from typing import Final

from aprhub.api import Naming, Rule
from aprhub_names.transforms import NORM_PLUS_ONE, ONE_ROW, ROPE_INTERLEAVED

BLOCK: Final = "blk.{i}."
EXPERT: Final = "layers.{i}.experts.{j}.ffn."
SHARED: Final = "layers.{i}.shared."
QKV: Final = tuple(f"layers.{{i}}.attn.{part}.weight" for part in "qkv")

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
    Rule(BLOCK + "ffn_gate_inp.weight", "layers.{i}.router.weight"),
    Rule(BLOCK + "ffn_gate_exps.weight", EXPERT + "gate.weight"),
    Rule(BLOCK + "ffn_up_exps.weight", EXPERT + "up.weight"),
    Rule(BLOCK + "ffn_down_exps.weight", EXPERT + "down.weight"),
    Rule(BLOCK + "ffn_gate_inp_shexp.weight", SHARED + "gate.weight"),
    Rule(BLOCK + "ffn_gate_shexp.weight", SHARED + "ffn.gate.weight"),
    Rule(BLOCK + "ffn_up_shexp.weight", SHARED + "ffn.up.weight"),
    Rule(BLOCK + "ffn_down_shexp.weight", SHARED + "ffn.down.weight"),
)

READ: Final = (
    Rule(
        BLOCK + "ffn_gate_up_exps.weight",
        (EXPERT + "gate.weight", EXPERT + "up.weight"),
    ),
    Rule(BLOCK + "ffn_gate.{j}.weight", EXPERT + "gate.weight"),
    Rule(BLOCK + "ffn_up.{j}.weight", EXPERT + "up.weight"),
    Rule(BLOCK + "ffn_down.{j}.weight", EXPERT + "down.weight"),
    Rule(BLOCK + "attn_qkv.weight", QKV),
    Rule(
        BLOCK + "attn_qkv.bias", tuple(name.replace("weight", "bias") for name in QKV)
    ),
)
"""Other ways in which files have the same weights: experts each by themselves, as the
first files with experts had them, and what llama.cpp's converter fuses when told to."""

FAMILIES: Final = {
    "phi3": (
        Rule(BLOCK + "attn_qkv.weight", QKV),
        Rule(
            BLOCK + "ffn_up.weight",
            ("layers.{i}.ffn.gate.weight", "layers.{i}.ffn.up.weight"),
        ),
    )
}
"""Families of which llama.cpp reads nothing but the fused tensors."""

GGML: Final = Naming(
    "ggml",
    (*RULES, *READ),
    FAMILIES,
    adjustments=(*ROPE_INTERLEAVED, NORM_PLUS_ONE, ONE_ROW),
    rope_factors={
        "all": "rope_freqs.weight",
        "long": "rope_factors_long.weight",
        "short": "rope_factors_short.weight",
    },
)
