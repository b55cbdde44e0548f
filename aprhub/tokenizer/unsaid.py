"""What a `tokenizer.json` does and a flat vocabulary has no word for, but lets pass."""

from collections.abc import Iterator

from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer.document import Document, skimmed
from aprhub.tokenizer.templates import frame_of


def unsaid(tokenizer: Tokenizer) -> Iterator[str]:
    """Yield what programs that read the flat vocabulary alone will not do.

    Raises CorruptFileError where the `tokenizer.json` contradicts itself.
    """
    if tokenizer.json is None:
        return
    document = skimmed(tokenizer.json)
    yield from _composed(document)
    yield from _framed(document, tokenizer)


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
