"""Plain text as ids: what looks like a special token in it is text."""

from typing import TYPE_CHECKING

from aprhub.errors import ModelCheckError
from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer.fitting import SUBJECT
from aprhub.tokenizer.parity import loaded_program

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Program


def plain_program(tokenizer: Tokenizer | None) -> tuple["Program", int | None]:
    """Return what turns plain text into ids, and the BOS that goes in front, if any.

    Raises ModelCheckError for a model without a tokenizer, one whose tokenizer is to
    add a BOS that it does not name, and as `loaded_program`.
    """
    found = required(tokenizer)
    program = loaded_program(found)
    program.encode_special_tokens = True
    return program, _bos(found, program)


def required(tokenizer: Tokenizer | None) -> Tokenizer:
    """Return a model's tokenizer; raises ModelCheckError where it has none."""
    if tokenizer is None:
        raise ModelCheckError(
            SUBJECT,
            "the model has none to read a text with; give it one with"
            " 'aprhub stamp --tokenizer'",
        )
    return tokenizer


def _bos(tokenizer: Tokenizer, program: "Program") -> int | None:
    """Return the token that the tokenizer puts in front of texts, if it does."""
    bos = tokenizer.special_ids.get("bos")
    adds = tokenizer.add_bos
    if adds is None:
        return bos if program.encode("").ids[:1] == [bos] else None
    if adds and bos is None:
        raise ModelCheckError(
            SUBJECT,
            "it is to add a BOS, but names none; give the model one that does with"
            " 'aprhub stamp --tokenizer'",
        )
    return bos if adds else None
