"""Encoding: documents as token ids, many at once, few in memory."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.errors import ModelCheckError, UsageError
from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer.fitting import SUBJECT
from aprhub.tokenizer.plain import plain_program, required

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Program

_CHARACTERS: Final = 1 << 18
"""How much text is encoded at once: enough for all cores, a few MiB of tokens."""


@frozen
class Encoder:
    """Turns documents into ids: a BOS where the model wants one, text, separator."""

    program: "Program" = field(repr=False)
    bos: int | None
    separator: int
    vocab_size: int | None = None

    @classmethod
    def of(
        cls, tokenizer: Tokenizer | None, separator: str | None, vocab_size: int | None
    ) -> "Encoder":
        """Return the encoder of a model's tokenizer.

        Raises UsageError for a separator that is no token, ModelCheckError where the
        model has no end of text and none is given, and as `plain_program`.
        """
        program, bos = plain_program(tokenizer)
        found = _separator(required(tokenizer), program, separator)
        return cls(program, bos, found, vocab_size)

    @property
    def dtype(self) -> str:
        """The narrowest type that holds every id of the tokenizer."""
        largest = max([*self.program.get_vocab().values(), self.separator])
        return "<u4" if largest >> 16 else "<u2"

    @property
    def told(self) -> dict[str, Any]:
        """All that decides about ids."""
        return {"tokenizer": self.program.to_str(), "ends": [self.bos, self.separator]}

    def encoded(self, texts: Iterable[str]) -> Iterator[tuple[str, NDArray[np.uint32]]]:
        """Yield each text with its ids; raises ModelCheckError for an id too large."""
        for group in _groups(texts):
            found = self.program.encode_batch_fast(group, add_special_tokens=False)
            for text, encoding in zip(group, found, strict=True):
                yield text, self._document(encoding.ids)

    def _document(self, ids: list[int]) -> NDArray[np.uint32]:
        front = [] if self.bos is None else [self.bos]
        found = np.array([*front, *ids, self.separator], np.uint32)
        refuse_outside(int(found.max()), self.vocab_size)
        return found


def refuse_outside(largest: int, vocab_size: int | None) -> None:
    """Raise ModelCheckError for an id that the model has no row for."""
    if vocab_size is not None and largest >= vocab_size:
        raise ModelCheckError(
            SUBJECT,
            f"token {largest} of the text is none of the model's {vocab_size}; use the"
            " model's own tokenizer",
        )


def _separator(tokenizer: Tokenizer, program: "Program", token: str | None) -> int:
    if token is not None:
        found = program.token_to_id(token)
        if found is None:
            raise UsageError(
                f"separator {token!r:.80} is no token of the tokenizer; name one that"
                " it has"
            )
        return found
    if "eos" not in tokenizer.special_ids:
        what = "it has no end of text to put between documents; name a separator"
        raise ModelCheckError(SUBJECT, what)
    return tokenizer.special_ids["eos"]


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    """Gather texts until they are long enough together."""
    group: list[str] = []
    size = 0
    for text in texts:
        group.append(text)
        size += len(text) + 1
        if size >= _CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group
