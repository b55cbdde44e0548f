"""A text as a model is shown it: chunks of token ids of equal length."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as Program

from aprhub.errors import (
    CorruptFileError,
    InputError,
    MissingFileError,
    ModelCheckError,
)
from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer.parity import loaded_program

Chunks = NDArray[np.int64]
"""Token ids, `(chunks, length)`."""


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8; raises an InputError for anything else."""
    if not path.is_file():
        raise MissingFileError(path, "there is no such text file")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptFileError(
            path, "not UTF-8; save it so", offset=error.start
        ) from error


def token_chunks(
    path: Path, tokenizer: Tokenizer | None, length: int, limit: int | None = None
) -> Chunks:
    """Cut the text of a file into chunks of `length` tokens, the first `limit` of them.

    As llama.cpp does it: what looks like a special token is text; a tokenizer that
    puts a BOS in front of texts puts one in front of this one, and then in place of
    the first token of every chunk; a rest is left out. Raises InputError for a text
    that does not fill one chunk.
    """
    if tokenizer is None:
        raise ModelCheckError("tokenizer", "the model has none to read a text with")
    program = loaded_program(tokenizer)
    program.encode_special_tokens = True
    ids = program.encode(read_text(path), add_special_tokens=False).ids
    bos = _bos(tokenizer, program)
    if bos is not None:
        ids = [bos, *ids]
    count = len(ids) // length
    if not count:
        what = f"{len(ids)} tokens are less than one chunk of {length}"
        raise InputError(path, what)
    chunks = np.array(ids[: count * length], np.int64).reshape(count, length)[:limit]
    if bos is not None:
        chunks[:, 0] = bos
    return chunks


def _bos(tokenizer: Tokenizer, program: Program) -> int | None:
    """Return the token that the tokenizer puts in front of texts, if it does."""
    bos = tokenizer.special_ids.get("bos")
    adds = tokenizer.add_bos
    if adds is None:
        return bos if program.encode("").ids[:1] == [bos] else None
    if adds and bos is None:
        raise ModelCheckError("tokenizer", "it is to add a BOS, but names none")
    return bos if adds else None
