"""How much arithmetic a model needs, by which its use of a device is measured."""

import math
from collections.abc import Collection, Mapping

from aprhub.ir.config import ModelConfig
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.spec.family import evaluated


def work_per_token(
    shapes: Mapping[str, tuple[int, ...]],
    config: ModelConfig,
    length: int,
    still: Collection[str] = (),
) -> float:
    """Return the operations that training on one token of a sequence takes.

    Two for each weight of a matrix going forward and four going back, two if it stands
    `still`, and as many for the scores of attention: the paper on PaLM (2022), appendix
    B. Embeddings are looked
    up, not multiplied, unless they are the head too; of experts, those asked count.
    """
    weights = sum(
        (4 if name in still else 6) * math.prod(shape) * _share(name, shapes, config)
        for name, shape in shapes.items()
        if len(shape) > 1
    )
    heads = evaluated("num_layers * num_heads * head_dim", config)
    return weights + 12 * heads * length


def _share(
    name: str, shapes: Mapping[str, tuple[int, ...]], config: ModelConfig
) -> float:
    if name == EMBEDDING:
        return float(HEAD not in shapes)
    if ".experts." in name:
        experts = evaluated("num_experts", config)
        return evaluated("num_experts_per_tok", config) / experts
    return 1.0
