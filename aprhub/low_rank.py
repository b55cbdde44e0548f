"""Low-rank training: what is trained beside the weights, and how strongly it counts."""

import math
from typing import Final

from attrs import frozen

from aprhub.errors import UsageError
from aprhub.ir.lowrank import scale_of

PROJECTIONS: Final = (
    "attn.q",
    "attn.k",
    "attn.v",
    "attn.o",
    "ffn.gate",
    "ffn.up",
    "ffn.down",
)
"""All matrices of attention and of feed-forward networks, those of experts too."""


@frozen
class LowRankOptions:
    """What adapters are trained, as in LoRA (arXiv 2106.09685).

    Each weight whose role, without `.weight`, is one of `targets` or ends in one after
    a dot gets a pair of matrices of `rank`. Their product counts `alpha / rank`, or
    `rank_stabilised` `alpha / sqrt(rank)` (rsLoRA, arXiv 2312.03732). With `quantized`
    those weights are kept in four bits (QLoRA, arXiv 2305.14314).
    """

    rank: int = 16
    alpha: float = 32.0
    rank_stabilised: bool = False
    targets: tuple[str, ...] = PROJECTIONS
    quantized: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.rank < 1:
            raise UsageError(f"rank is {self.rank}; give 1 or more")
        if not (self.alpha > 0 and math.isfinite(self.alpha)):
            raise UsageError(f"alpha is {self.alpha}; give a positive number")
        if not self.targets:
            raise UsageError(
                "targets is empty; name at least one weight to train a pair for, such"
                f" as {PROJECTIONS[0]}"
            )

    @property
    def scale(self) -> float:
        """What the product of a pair is multiplied with."""
        return scale_of(self.alpha, self.rank, rank_stabilised=self.rank_stabilised)
