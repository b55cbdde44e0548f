"""Sequences of tokens, and batches of them in an order that a step alone decides."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from aprhub.corpus.permutation import permuted
from aprhub.corpus.shards import LEARNT
from aprhub.errors import CorpusExhausted, UsageError

NO_LOSS: Final = -100
"""The target of a place that no loss is computed for, as torch has it."""


@frozen
class Batch:
    """Token ids, and for each the one that follows or NO_LOSS: `(rows, seq_len)`."""

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]


@frozen(eq=False)
class Sequences:
    """Sequences that lie one behind the other in `tokens`, packed across documents.

    The last target of a sequence is the first input of the next, so that each token
    is a target once. A rest that does not fill a sequence is left out. With `marked`,
    tokens to be learnt have the mark of the shards, and sequences share no token.
    """

    tokens: NDArray[Any] = field(repr=False)
    seq_len: int
    marked: bool = False

    def __len__(self) -> int:
        """Return how many sequences there are."""
        shared = 0 if self.marked else 1
        return max(0, self.tokens.size - shared) // self._stride

    def batch(self, indices: NDArray[np.int64]) -> Batch:
        """Return the sequences of some indices, in their order."""
        starts = indices[:, np.newaxis] * self._stride
        rows = self.tokens[starts + np.arange(self.seq_len + 1)]
        learnt = (rows & LEARNT != 0) if self.marked else np.True_
        ids = (rows & ~LEARNT if self.marked else rows).astype(np.int64)
        targets = np.where(learnt, ids, NO_LOSS)
        return Batch(ids[:, :-1].copy(), targets[:, 1:].copy())

    @property
    def _stride(self) -> int:
        return self.seq_len + (1 if self.marked else 0)

    def sweep(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Yield every sequence once, in order; the last batch may be smaller.

        Several processes together have every sequence once, in as many batches each:
        one that is left without a sequence has one without targets.
        """
        for first in range(0, len(self), batch_size * world):
            start = first + rank * batch_size
            rows = np.arange(start, min(start + batch_size, len(self)))
            yield self.batch(rows) if rows.size else self._nothing_to_learn()

    def _nothing_to_learn(self) -> Batch:
        batch = self.batch(np.zeros(1, np.int64))
        return evolve(batch, targets=np.full_like(batch.targets, NO_LOSS))

    def batches(
        self, batch_size: int, seed: int, *, epochs: int | None = None
    ) -> "Batches":
        """Return batches in shuffled order, for so many epochs; None sets no end.

        Raises UsageError when the sequences do not fill one batch.
        """
        if len(self) < batch_size:
            raise UsageError(
                f"a batch of {batch_size} sequences, but there are {len(self)} of"
                f" {self.seq_len} tokens; use smaller batches or shorter sequences"
            )
        return Batches(self, batch_size, seed, epochs)


@frozen
class Batches:
    """Batches by step: any step can be had at once, so that a run may go on there.

    Each epoch has another order; sequences that do not fill a batch at its end are
    left out of that epoch.
    """

    sequences: Sequences
    batch_size: int
    seed: int
    epochs: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches all sequences make."""
        return len(self.sequences) // self.batch_size

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """Return the batch of a step counted from 0, or one rank's share of its rows.

        The shares of all ranks, one below the other, are the batch. Raises
        CorpusExhausted after the last epoch, UsageError for rows that cannot be shared.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        if self.epochs is not None and epoch >= self.epochs:
            last = self.epochs * self.steps_per_epoch
            raise CorpusExhausted(
                f"the corpus has {last} steps in {self.epochs} epochs, and step {step}"
                " is beyond; allow more epochs or fewer steps, or add text"
            )
        if self.batch_size % world or not 0 <= rank < world:
            what = f"process {rank} of {world} has no share of {self.batch_size}"
            raise UsageError(f"{what} sequences; use a batch that all can share")
        share = self.batch_size // world
        start = place * self.batch_size + rank * share
        wanted = np.arange(start, start + share)
        order = permuted(wanted, len(self.sequences), self.seed, epoch)
        return self.sequences.batch(order)
