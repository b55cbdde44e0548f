"""Whether two tokenizers turn text into the same ids, judged by running them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from aprhub.errors import ModelCheckError
from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer.assembling import program_of
from aprhub.tokenizer.fitting import SUBJECT

if TYPE_CHECKING:
    import tokenizers


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the ids of each text, with what the tokenizer puts around a text.

    Raises ModelCheckError where the `tokenizer.json` cannot be loaded, and what
    `assembled` raises where there is none.
    """
    program = loaded_program(tokenizer)
    return [program.encode(text).ids for text in texts]


def same_ids(one: Tokenizer, other: Tokenizer, texts: Sequence[str]) -> list[str]:
    """Return a sentence for each text whose ids differ; none when all are equal."""
    both = zip(texts, token_ids(one, texts), token_ids(other, texts), strict=True)
    return list(_differences(both))


def _differences(
    results: Iterator[tuple[str, list[int], list[int]]],
) -> Iterator[str]:
    for text, left, right in results:
        if left != right:
            pairs = zip(left, right, strict=False)
            equal = (n for n, (a, b) in enumerate(pairs) if a != b)
            place = next(equal, min(len(left), len(right)))
            yield (
                f"{text!r:.60}: from token {place} on"
                f" {left[place : place + 4]} of {len(left)}"
                f" and {right[place : place + 4]} of {len(right)}"
            )


def loaded_program(tokenizer: Tokenizer) -> "tokenizers.Tokenizer":
    """Return what turns texts into ids, whole and unpadded; raises as `token_ids`."""
    import tokenizers

    text = program_of(tokenizer)
    try:
        program = tokenizers.Tokenizer.from_buffer(text)
    # The library raises nothing narrower for a file that it does not take.
    except Exception as error:
        raise ModelCheckError(
            SUBJECT,
            f"its tokenizer.json does not load: {error}; get it again, or update the"
            " tokenizers package",
        ) from error
    program.no_truncation()
    program.no_padding()
    return program
