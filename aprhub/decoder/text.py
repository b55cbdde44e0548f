"""A text as a model is shown it: chunks of token ids of equal length."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aprhub.errors import (
    CorruptFileError,
    InputError,
    MissingFileError,
)
from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer.plain import plain_program

Chunks = NDArray[np.int64]
"""Token ids, `(chunks, length)`."""


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8; raises an InputError for anything else."""
    if not path.is_file():
        raise MissingFileError(path, "there is no such text file; name another")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        at, repair = error.start, "save it as UTF-8"
        raise CorruptFileError(path, "not UTF-8", offset=at, repair=repair) from error


def token_chunks(
    path: Path, tokenizer: Tokenizer, length: int, limit: int | None = None
) -> Chunks:
    """Cut the text of a file into chunks of `length` tokens, the first `limit` of them.

    As llama.cpp does it: what looks like a special token is text; a tokenizer that
    puts a BOS in front of texts puts one in front of this one, and then in place of
    the first token of every chunk; a rest is left out. Raises InputError for a text
    that does not fill one chunk.
    """
    program, bos = plain_program(tokenizer)
    ids = program.encode(read_text(path), add_special_tokens=False).ids
    if bos is not None:
        ids = [bos, *ids]
    count = len(ids) // length
    if not count:
        what = (
            f"{len(ids)} tokens are less than one chunk of {length}; give a longer"
            " text, or a smaller --seq-len"
        )
        raise InputError(path, what)
    chunks = np.array(ids[: count * length], np.int64).reshape(count, length)[:limit]
    if bos is not None:
        chunks[:, 0] = bos
    return chunks


def prompt_ids(text: str, tokenizer: Tokenizer) -> list[int]:
    """Return the tokens of a prompt, with a BOS in front if the tokenizer puts one.

    What looks like a special token is one.
    """
    program, bos = plain_program(tokenizer)
    program.encode_special_tokens = False
    ids = program.encode(text, add_special_tokens=False).ids
    return ids if bos is None else [bos, *ids]
