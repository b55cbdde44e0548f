"""Texts that models go on with, and how fast."""

import statistics
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen
from tokenizers import Tokenizer as Program

from aprhub.decoder.generation import generated
from aprhub.decoder.model import Decoder
from aprhub.decoder.text import prompt_ids
from aprhub.errors import UsageError, about
from aprhub.options import RunOptions
from aprhub.registry import Registry
from aprhub.running import Runnable
from aprhub.sampling import Sampling
from aprhub.tokenizer.kinds import BYTE_TOKENS
from aprhub.tokenizer.parity import loaded_program

ENDS: Final = ("eos", "eot", "eom")
"""The special tokens after which nothing follows."""

PROMPT: Final = "The quick brown fox jumps over the lazy dog."
"""What a model goes on with when its speed is measured."""

_CUT: Final = "\ufffd"
"""What a decoded text ends with while a character lacks its last bytes."""


@frozen
class Writer:
    """A model that is ready to go on with prompts."""

    given: Runnable
    decoder: Decoder = field(repr=False)
    program: Program = field(repr=False)

    @classmethod
    def of(cls, path: Path, options: RunOptions, registry: Registry) -> "Writer":
        """Load a model; raises an AprhubError for one that cannot be run."""
        given = Runnable.of(path, options, registry)
        with about(path):
            program = loaded_program(given.tokenizer)
        return cls(given, given.decoder(), program)

    @property
    def ends(self) -> Collection[int]:
        """The tokens after which nothing follows."""
        named = self.given.tokenizer.special_ids
        return {named[role] for role in ENDS if role in named}

    def tokens(
        self, ids: list[int], sampling: Sampling, ends: Collection[int]
    ) -> Iterator[int]:
        """Yield the tokens after a prompt; raises UsageError beyond the context."""
        wanted = len(ids) + sampling.max_tokens
        self.given.require_context(wanted, "--max-tokens")
        with about(self.given.path):
            yield from generated(self.decoder, ids, sampling, ends)


@define
class Generation:
    """A text that a model goes on with; iterating it makes it, piece by piece.

    `ids` are the tokens so far, and `ended` whether the model ended the text itself.
    """

    writer: Writer
    prompt: str
    sampling: Sampling
    ids: list[int] = field(factory=list)
    ended: bool = False

    def __iter__(self) -> Iterator[str]:
        """Yield the text behind the prompt in pieces of whole characters."""
        start = prompt_ids(self.prompt, self.writer.given.tokenizer)
        if not start:
            raise UsageError("the prompt has no token to go on from; give a text")
        told = ""
        for token in self.writer.tokens(start, self.sampling, self.writer.ends):
            self.ids.append(token)
            text = self.writer.program.decode(self.ids)
            # What bytes in a row stand for is known when the row has ended.
            is_byte = self.writer.program.id_to_token(token) in BYTE_TOKENS
            if not (is_byte or text.endswith(_CUT)):
                yield text.removeprefix(told)
                told = text
        yield self.writer.program.decode(self.ids).removeprefix(told)
        self.ended = len(self.ids) < self.sampling.max_tokens

    def as_json(self) -> dict[str, Any]:
        """Return what was made as JSON-like data."""
        return {
            "schema": 1,
            "path": str(self.writer.given.path),
            "prompt": self.prompt,
            "text": self.writer.program.decode(self.ids),
            "ids": self.ids,
            "ended": self.ended,
        }


@frozen
class Speed:
    """Tokens per second of each run: prompt and generation together."""

    max_tokens: int
    runs: tuple[float, ...]
    floor: float

    @property
    def tokens_per_second(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)

    @property
    def passed(self) -> bool:
        """Whether it is at least the floor."""
        return self.tokens_per_second >= self.floor

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as JSON-like data."""
        return {
            "schema": 1,
            "tokens_per_second": self.tokens_per_second,
            "iterations": list(self.runs),
            "max_tokens": self.max_tokens,
            "floor": self.floor,
            "passed": self.passed,
        }


def speed(
    writer: Writer, max_tokens: int, iterations: int, floor: float, warmup: int = 1
) -> Speed:
    """Measure how many tokens a model makes in a second, after some runs to warm up.

    It goes on with the same prompt each time, and past the end of the text.
    """
    sampling = Sampling(max_tokens)
    ids = prompt_ids(PROMPT, writer.given.tokenizer)
    found = []
    for _ in range(warmup + iterations):
        start = time.perf_counter()
        made = sum(1 for _ in writer.tokens(ids, sampling, ()))
        found.append(made / (time.perf_counter() - start))
    return Speed(max_tokens, tuple(found[warmup:]), floor)
