"""Scoring: how well a model foretells a text, each token from the true ones before."""

import math
from typing import Any

import torch
from attrs import frozen
from torch.nn import functional

from aprhub.decoder.measuring import batches
from aprhub.decoder.model import Decoder
from aprhub.decoder.text import Chunks
from aprhub.errors import ModelCheckError


@frozen
class Score:
    """The mean cross-entropy of a text, in nats per token.

    `tokens` is how many were foretold: all of every chunk but its first.
    """

    chunks: int
    chunk_size: int
    tokens: int
    loss: float

    @property
    def perplexity(self) -> float:
        """Among how many equally likely tokens the model is undecided, on average."""
        return math.exp(self.loss) if self.loss < 700 else math.inf

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as JSON-like data."""
        return {
            "schema": 1,
            "chunks": self.chunks,
            "chunk_size": self.chunk_size,
            "tokens": self.tokens,
            "loss": self.loss,
            "perplexity": self.perplexity,
        }


@torch.inference_mode()
def score(decoder: Decoder, chunks: Chunks, batch: int = 1) -> Score:
    """Score the chunks of a text, `batch` of them at once.

    Raises ModelCheckError where logits are not finite.
    """
    total = sum(_loss(decoder, ids) for ids in batches(chunks, batch))
    count = len(chunks) * (chunks.shape[1] - 1)
    if not math.isfinite(total):
        what = "not finite on this text; look for damage with 'aprhub validate'"
        raise ModelCheckError("logits", what)
    return Score(len(chunks), chunks.shape[1], count, total / count)


def _loss(decoder: Decoder, ids: torch.Tensor) -> float:
    """Return the summed loss; the logits of one chunk are there at a time."""
    hidden = decoder.hidden(ids[:, :-1])
    losses = (
        functional.cross_entropy(
            decoder.logits(states).float(), wanted, reduction="sum"
        ).double()
        for states, wanted in zip(hidden, ids[:, 1:], strict=True)
    )
    return float(sum(losses))
