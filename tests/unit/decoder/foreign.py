"""Models of transformers' own making, as canonical models with families to suit.

For architectures with parts that no installed family has.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch

from aprhub import ModelIR, Tensor
from aprhub.api import DecoderSpec, Family, ModelConfig, WeightSpec
from tests.judges import hf

_NAMES: Final = {
    "model.embed_tokens.": "embed.",
    "model.norm.": "norm.",
    "lm_head.": "head.",
    "model.layers.": "layers.",
    "self_attn.": "attn.",
    "mlp.gate.weight": "router.weight",
    "_proj.": ".",
    "mlp.shared_expert_gate.": "shared.gate.",
    "mlp.shared_expert.": "shared.ffn.",
    "mlp.experts.": "experts.",
    "mlp.": "ffn.",
    ".input_layernorm.": ".attn.norm.",
    ".pre_feedforward_layernorm.": ".ffn.norm.",
    ".post_feedforward_layernorm.": ".ffn.post_norm.",
}
"""What to replace in names, in this order."""


def made(kind: str, **sizes: Any) -> Any:
    """Return a model of transformers with lively random weights."""
    library = hf.transformers()
    config = getattr(library, f"{kind}Config")(
        **sizes, attn_implementation="eager", pad_token_id=0
    )
    torch.manual_seed(0)
    model = getattr(library, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 1.5 / parameter.shape[-1] ** 0.5 if parameter.ndim > 1 else 0.4
            parameter.normal_(0, scale)
    return model


def canonical(
    model: Any,
    config: ModelConfig,
    spec: DecoderSpec,
    *,
    norm_offset: float = 0.0,
    second_norm: str = "ffn.norm",
) -> tuple[ModelIR, Family]:
    """Return the canonical form of such a model, and a family of its weights.

    `second_norm` is what the norm after attention is.
    """
    tensors = dict(_tensors(model, {"post_attention_layernorm": second_norm}))
    weights = tuple(
        WeightSpec(name, tuple(map(str, each.shape))) for name, each in tensors.items()
    )
    family = Family(
        "foreign", "foreign", "", (), (), weights, norm_offset=norm_offset, decoder=spec
    )
    return ModelIR(config, tensors), family


def _tensors(model: Any, names: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    for stored, values in model.state_dict().items():
        name = stored
        for theirs, ours in {**_NAMES, **names}.items():
            name = name.replace(theirs, ours)
        if ".experts." in name:
            yield from _experts(name.partition(".experts.")[0], stored, values)
        else:
            yield name, Tensor.of(values.numpy())


def _experts(
    layer: str, stored: str, stack: torch.Tensor
) -> Iterator[tuple[str, Tensor]]:
    parts = ("gate", "up") if "gate_up" in stored else ("down",)
    for number, matrices in enumerate(stack):
        for part, matrix in zip(parts, matrices.chunk(len(parts)), strict=True):
            name = f"{layer}.experts.{number}.ffn.{part}.weight"
            yield name, Tensor.of(matrix.contiguous().numpy())
