"""Models run on texts, from files to numbers."""

from pathlib import Path

import numpy as np
from attrs import frozen

from aprhub.conversion import opened
from aprhub.decoder.divergence import Divergence, divergence
from aprhub.decoder.measuring import squares
from aprhub.decoder.model import Decoder
from aprhub.decoder.scoring import Score, score
from aprhub.decoder.text import Chunks, token_chunks
from aprhub.decoder.weights import loaded
from aprhub.errors import ModelCheckError, TargetExistsError, UsageError, about
from aprhub.importance import save_importance
from aprhub.ir.importance import Importance
from aprhub.ir.model import ModelIR
from aprhub.ir.tokenizer import Tokenizer
from aprhub.options import RunOptions
from aprhub.registry import Registry
from aprhub.spec.family import Family
from aprhub.tokenizer.parity import loaded_program
from aprhub.tokenizer.plain import required


@frozen
class Runnable:
    """A model of a known family, with the file that it is in."""

    path: Path
    model: ModelIR
    family: Family

    @classmethod
    def of(cls, path: Path, options: RunOptions, registry: Registry) -> "Runnable":
        """Open a model; raises UsageError where names are kept."""
        with about(path):
            found = opened(path, registry, options.lift, options.source_format).found
        if found.family is None:
            raise UsageError(
                "with names kept, nothing is known of how a model computes; leave out"
                " --naming keep"
            )
        return cls(path, found.model, found.family)

    def chunks(self, text: Path, options: RunOptions) -> Chunks:
        """Return a text cut up; raises UsageError for chunks beyond the context."""
        self.require_context(options.seq_len, "--seq-len")
        with about(self.path):
            return token_chunks(text, self.tokenizer, options.seq_len, options.chunks)

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's; raises ModelCheckError where it has none."""
        return required(self.model.tokenizer)

    def require_context(self, tokens: int, option: str) -> None:
        """Raise UsageError where a model is not made for the tokens of an option."""
        context = self.model.config.max_position_embeddings or 0
        if tokens > context:
            raise UsageError(
                f"{self.path}: made for {context} tokens, {tokens} wanted; lower"
                f" {option}"
            )

    def decoder(self) -> Decoder:
        """Return the model ready to run."""
        with about(self.path):
            return loaded(self.model, self.family).decoder


def make_importance(
    model: Path, text: Path, target: Path, options: RunOptions, registry: Registry
) -> Importance:
    """Measure a model's importance matrix on a text and write it to a file.

    Raises an AprhubError for a model that cannot be run and a text that is too short.
    """
    if target.exists() and not options.force:
        raise TargetExistsError(target)
    given = Runnable.of(model, options, registry)
    chunks = given.chunks(text, options)
    with about(model):
        entries = squares(given.decoder(), chunks, options.batch_size)
    count, size = chunks.shape
    found = Importance(target, entries, (text.name,), count, size)
    save_importance(found, given.family, registry, force=options.force)
    return found


def find_score(
    model: Path, text: Path, options: RunOptions, registry: Registry
) -> Score:
    """Score a text by how well a model foretells each token of it."""
    given = Runnable.of(model, options, registry)
    chunks = given.chunks(text, options)
    with about(model):
        return score(given.decoder(), chunks, options.batch_size)


def find_divergence(
    one: Path, other: Path, text: Path, options: RunOptions, registry: Registry
) -> Divergence:
    """Compare the next-token distributions of two models on a text.

    Raises ModelCheckError where the models have not the same tokens.
    """
    left, right = (Runnable.of(each, options, registry) for each in (one, other))
    chunks = left.chunks(text, options)
    _refuse_other_tokens(left, right)
    if not np.array_equal(chunks, right.chunks(text, options)):
        raise ModelCheckError(
            other,
            f"its tokenizer cuts {text} otherwise than {one}'s; take models of one"
            " tokenizer",
        )
    with about(other):
        models = left.decoder(), right.decoder()
        return divergence(*models, chunks, options.batch_size)


def _refuse_other_tokens(one: Runnable, other: Runnable) -> None:
    """Raise unless an id means the same to both models, and both have the same rows."""
    rows = [each.model.config.vocab_size for each in (one, other)]
    if rows[0] != rows[1]:
        raise ModelCheckError(
            other.path,
            f"{rows[1]} rows of tokens, {one.path} has {rows[0]}; take models of one"
            " vocabulary",
        )
    left, right = _tokens(one), _tokens(other)
    for number in sorted(left.keys() & right.keys()):
        if left[number] != right[number]:
            raise ModelCheckError(
                other.path,
                f"another tokenizer: token {number} is {right[number]!r}, in {one.path}"
                f" {left[number]!r}; take models of one tokenizer",
            )


def _tokens(given: Runnable) -> dict[int, str]:
    vocabulary = loaded_program(given.tokenizer).get_vocab()
    return {number: token for token, number in vocabulary.items()}
