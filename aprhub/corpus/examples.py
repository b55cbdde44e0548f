"""Examples as tokens: which of them are answers, and how they fill sequences."""

from typing import TYPE_CHECKING

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

from aprhub.corpus.options import ChatOptions
from aprhub.corpus.shards import ShardWriter

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Program


@frozen
class Example:
    """A text to learn from, and the characters in it that are answers, from and to."""

    text: str
    answers: tuple[tuple[int, int], ...]


@frozen
class Marked:
    """Token ids, and which of them are to be learnt."""

    ids: NDArray[np.uint32]
    learnt: NDArray[np.bool_]

    def until(self, limit: int) -> "Marked":
        """Return the first tokens."""
        return Marked(self.ids[:limit], self.learnt[:limit])


def marked(example: Example, program: "Program") -> Marked:
    """Return the tokens of an example; one is learnt that has a part of an answer.

    The program is to give offsets of whole tokens: spaces are part of an answer.
    """
    encoding = program.encode(example.text, add_special_tokens=False)
    offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
    learnt = np.zeros(len(offsets), np.bool_)
    for start, end in example.answers:
        learnt |= (offsets[:, 0] < end) & (offsets[:, 1] > start)
    return Marked(np.array(encoding.ids, np.uint32), learnt)


@define
class Rows:
    """Fills rows of one part with examples; what is left of a row is padded."""

    part: str
    writer: ShardWriter
    options: ChatOptions
    padding: int
    _waiting: list[Marked] = field(factory=list)
    _used: int = 0

    def add(self, example: Marked) -> None:
        """Put an example into the row at hand, or into a new one."""
        limit = self.options.seq_len + 1 if self.options.packed else 0
        if self._waiting and self._used + example.ids.size > limit:
            self.finish()
        self._waiting.append(example)
        self._used += example.ids.size

    def finish(self) -> None:
        """Write the row at hand."""
        if not self._waiting:
            return
        length = self.options.seq_len + 1
        ids = np.full(length, self.padding, np.uint32)
        learnt = np.zeros(length, np.bool_)
        ids[: self._used] = np.concatenate([each.ids for each in self._waiting])
        learnt[: self._used] = np.concatenate([each.learnt for each in self._waiting])
        self.writer.add(self.part, ids, learnt, len(self._waiting))
        self._waiting, self._used = [], 0
