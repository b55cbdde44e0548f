"""Parity: two decoders compute the same, one token after the other.

Both go through a cache of what they have seen, as programs do that generate text.
"""

from collections.abc import Sequence
from typing import Final

import torch
from attrs import frozen

from aprhub.decoder.model import Decoder
from aprhub.errors import ModelCheckError

STEPS: Final = 64
"""How many teacher-forced steps are compared."""
COSINE: Final = 0.98
"""How close logits are that may prefer different tokens (the reference's rule)."""


@frozen
class Parity:
    """How many of the steps prefer one token, and the least cosine of the logits."""

    agreed: int
    least: float


@torch.inference_mode()
def parity(one: Decoder, other: Decoder, prompt: Sequence[int]) -> Parity:
    """Show both a prompt and then, one by one, the tokens that the first prefers.

    Raises ModelCheckError for other numbers of logits, and at the first step with
    another token and logits that are too far apart.
    """
    ids, caches = list(prompt), (one.cache(), other.cache())
    agreed, least = 0, 1.0
    for step in range(STEPS):
        left, right = (
            decoder(torch.tensor([ids]), cache)[0, -1].double()
            for decoder, cache in zip((one, other), caches, strict=True)
        )
        if left.shape != right.shape:
            raise ModelCheckError(
                f"step {step}",
                f"{len(right)} in place of {len(left)} logits; compare two files of one"
                " model",
            )
        cosine = float(torch.cosine_similarity(left, right, dim=0))
        best, rival = int(left.argmax()), int(right.argmax())
        if best != rival and not cosine >= COSINE:
            raise ModelCheckError(
                f"step {step}",
                f"prefers token {rival}, not {best}; cosine {cosine:.4f}; see what"
                " differs with 'aprhub diff'",
            )
        agreed, least = agreed + (best == rival), min(least, cosine)
        ids = [best]
    return Parity(agreed, least)


@torch.inference_mode()
def least_deviation(decoder: Decoder, ids: Sequence[int]) -> float:
    """Return the least standard deviation of the logits of a position.

    Raises ModelCheckError where logits are not finite, or all the same.
    """
    logits = decoder(torch.tensor([list(ids)]))[0]
    if not logits.isfinite().all():
        what = "not finite; look for damage with 'aprhub validate'"
        raise ModelCheckError("logits", what)
    deviation = float(logits.std(-1).min())
    if not deviation:
        what = "all the same; look for damage with 'aprhub validate'"
        raise ModelCheckError("logits", what)
    return deviation
