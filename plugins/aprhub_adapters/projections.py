"""How the entrenar trainer names what it adapts: `lora.{layer}.{projection}`."""

from typing import Final

from aprhub.api import Naming, Rule

LAYER: Final = "lora.{i}."

NAMING: Final = Naming(
    "entrenar",
    (
        Rule(LAYER + "q_proj", "layers.{i}.attn.q.weight"),
        Rule(LAYER + "k_proj", "layers.{i}.attn.k.weight"),
        Rule(LAYER + "v_proj", "layers.{i}.attn.v.weight"),
        Rule(LAYER + "o_proj", "layers.{i}.attn.o.weight"),
        Rule(LAYER + "gate_proj", "layers.{i}.ffn.gate.weight"),
        Rule(LAYER + "up_proj", "layers.{i}.ffn.up.weight"),
        Rule(LAYER + "down_proj", "layers.{i}.ffn.down.weight"),
    ),
)
