"""How far the next-token distributions of one model are from those of another."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from attrs import asdict, frozen

from aprhub.decoder.measuring import batches
from aprhub.decoder.model import Decoder
from aprhub.decoder.text import Chunks
from aprhub.errors import ModelCheckError

POSITIONS: Final = 64
"""How many distributions are compared at once: they take much memory."""


@frozen
class Divergence:
    """The divergence of one model from another on a text.

    `mean`, `median`, `p90`, `p95`, `p99` and `max` are of the Kullback-Leibler
    divergence from the first model at each position, in nats. `same_top` is the share
    of positions at which both prefer the same token.
    """

    chunks: int
    chunk_size: int
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float
    same_top: float

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as JSON-like data."""
        return {"schema": 1, **asdict(self)}


def divergence(
    one: Decoder, other: Decoder, chunks: Chunks, batch: int = 1
) -> Divergence:
    """Compare the distributions of two models after every token of a text.

    In f64, from the logits of each. Raises ModelCheckError where logits are not finite.
    """
    pairs = list(_compared(one, other, chunks, batch))
    divergences = np.concatenate([values for values, _ in pairs])
    agreed = np.concatenate([same for _, same in pairs])
    median, p90, p95, p99 = np.percentile(divergences, (50, 90, 95, 99)).tolist()
    return Divergence(
        len(chunks),
        chunks.shape[1],
        float(divergences.mean()),
        median,
        p90,
        p95,
        p99,
        float(divergences.max()),
        float(agreed.mean()),
    )


@torch.inference_mode()
def _compared(
    one: Decoder, other: Decoder, chunks: Chunks, batch: int
) -> Iterator[tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]]:
    """Yield divergence and agreement of consecutive positions."""
    for ids in batches(chunks, batch):
        hidden = (each.hidden(ids).flatten(0, 1) for each in (one, other))
        parts = (torch.split(each, POSITIONS) for each in hidden)
        for left, right in zip(*parts, strict=True):
            p, q = _log_softmax(one, left), _log_softmax(other, right)
            gap = (p.exp() * (p - q)).sum(-1).clamp_min(0)
            yield gap.numpy(), (p.argmax(-1) == q.argmax(-1)).numpy()


def _log_softmax(decoder: Decoder, hidden: torch.Tensor) -> torch.Tensor:
    logits = decoder.logits(hidden).double()
    if not logits.isfinite().all():
        what = "not finite on this text; look for damage with 'aprhub validate'"
        raise ModelCheckError("logits", what)
    return logits.log_softmax(-1)
