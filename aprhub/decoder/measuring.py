"""What a model's matrices are multiplied with, measured on a text."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aprhub.decoder.model import Decoder
from aprhub.decoder.text import Chunks
from aprhub.errors import ModelCheckError
from aprhub.ir.importance import Measured
from aprhub.ir.tensor import Tensor


class _Squares:
    """Sums of squares of a matrix's inputs; called before each multiplication."""

    def __init__(self, columns: int) -> None:
        self.sums = torch.zeros(columns, dtype=torch.float64)
        self.count = 0

    def __call__(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        rows = inputs[0].detach().flatten(0, -2)
        self.sums += rows.float().square().sum(0).cpu()
        self.count += rows.shape[0]

    def measured(self, name: str) -> Measured:
        sums = self.sums.numpy().astype(np.float32)
        if not np.isfinite(sums).all():
            raise ModelCheckError(
                name,
                "its inputs are not finite on this text; look for damage with 'aprhub"
                " validate'",
            )
        return Measured(Tensor.of(sums), (self.count,))


def squares(decoder: Decoder, chunks: Chunks, batch: int = 1) -> dict[str, Measured]:
    """Run chunks through a decoder and return what every matrix of a layer was fed.

    Keys are the canonical names of the matrices; embeddings and head are not measured,
    as in llama.cpp's importance matrices. `batch` chunks are run at once.
    Raises ModelCheckError where inputs are infinite or no numbers.
    """
    found = {name: _Squares(each.in_features) for name, each in _matrices(decoder)}
    with ExitStack() as stack, torch.inference_mode():
        for name, module in _matrices(decoder):
            handle = module.register_forward_pre_hook(found[name])
            stack.callback(handle.remove)
        for part in batches(chunks, batch):
            decoder.hidden(part)
    return {name: each.measured(name) for name, each in found.items()}


def _matrices(decoder: Decoder) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in decoder.layers.named_modules(prefix="layers"):
        if isinstance(module, nn.Linear):
            yield f"{name}.weight", module


@torch.inference_mode()
def logits(decoder: Decoder, ids: Sequence[int]) -> NDArray[np.float32]:
    """Return the logits of a text of token ids, `(positions, vocabulary)`."""
    found: NDArray[np.float32] = decoder(torch.tensor([list(ids)]))[0].numpy()
    return found


def batches(chunks: Chunks, batch: int) -> Iterator[torch.Tensor]:
    """Yield the ids of `batch` chunks after the other."""
    for start in range(0, len(chunks), batch):
        yield torch.from_numpy(chunks[start : start + batch])
