"""What one form of a tokenizer says and the other does not, but lets pass."""

from collections.abc import Iterator

import numpy as np

from aprhub.ir.tokenizer import NORMAL, FlatVocabulary, Tokenizer
from aprhub.tokenizer.document import Document, skimmed
from aprhub.tokenizer.kinds import SENTENCEPIECE
from aprhub.tokenizer.lexicon import types_of
from aprhub.tokenizer.templates import frame_of


def unsaid(tokenizer: Tokenizer) -> Iterator[str]:
    """Yield what programs that read the flat vocabulary alone will not do.

    Raises CorruptFileError where the `tokenizer.json` contradicts itself.
    """
    program = tokenizer.program
    if program is None:
        return
    document = skimmed(program)
    yield from _composed(document)
    yield from _framed(document, tokenizer)


def guessed(flat: FlatVocabulary) -> Iterator[str]:
    """Yield what a `tokenizer.json` that is made of a flat vocabulary has to guess.

    Raises what reading the types of the tokens raises.
    """
    if flat.model != SENTENCEPIECE or flat.scores is None:
        return
    scores = flat.scores[types_of(flat, {}) == NORMAL]
    if len(scores) > 1 and np.all(scores == scores[0]):
        yield (
            "all tokens have one score, so that nothing says which merge rule goes"
            " first; they are in the order of the ids, and ids of text may be others"
            " than those that llama.cpp gives"
        )


def _composed(document: Document) -> Iterator[str]:
    if any(step["type"] == "NFC" for step in document.steps("normalizer")):
        yield (
            "the tokenizer composes characters first (NFC), which a flat vocabulary"
            " does not say: give programs such as llama.cpp text that is composed"
        )


def _framed(document: Document, tokenizer: Tokenizer) -> Iterator[str]:
    frame = frame_of(document)
    start = 1 if frame.first and tokenizer.add_bos else 0
    stop = len(frame.around) - (1 if frame.last and tokenizer.add_eos else 0)
    left = frame.around[start:stop]
    if left:
        yield (
            f"the tokenizer puts {', '.join(map(repr, left))} around a text, too, which"
            " a flat vocabulary does not say: programs such as llama.cpp leave it out"
        )
