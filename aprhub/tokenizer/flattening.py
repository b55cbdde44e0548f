"""A tokenizer with its vocabulary as flat lists."""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import evolve

from aprhub.errors import ModelCheckError
from aprhub.ir.tokenizer import FlatVocabulary, Tokenizer
from aprhub.tokenizer.document import Document, parsed
from aprhub.tokenizer.fitting import SUBJECT, fitted, unique
from aprhub.tokenizer.flat_kinds import (
    flat_byte_level,
    flat_sentencepiece,
    flat_unigram,
    flat_wordpiece,
)
from aprhub.tokenizer.kinds import (
    BYTE_LEVEL,
    SENTENCEPIECE,
    UNIGRAM,
    WORDPIECE,
    kind_of,
    prefixes_space,
)
from aprhub.tokenizer.merges import pairs_of
from aprhub.tokenizer.normalizers import check_representable
from aprhub.tokenizer.placing import model_ids
from aprhub.tokenizer.pretokenizers import split_of

_UNNAMED: Final = "default"
"""What stands for the pre-tokenizer of a kind that has only one."""
_NEEDED: Final = {
    BYTE_LEVEL: ("merges", "pre"),
    SENTENCEPIECE: ("scores",),
    UNIGRAM: ("scores",),
}
_KINDS: Final[Mapping[str, Callable[[Document], FlatVocabulary]]] = {
    BYTE_LEVEL: flat_byte_level,
    SENTENCEPIECE: flat_sentencepiece,
    UNIGRAM: flat_unigram,
    WORDPIECE: flat_wordpiece,
}


def flattened(
    tokenizer: Tokenizer, rows: int | None, *, check_merges: bool = True
) -> Tokenizer:
    """Return the tokenizer with a flat vocabulary of `rows` tokens.

    `rows` is that of the embedding; with None the vocabulary is as long as its
    tokens need. A flat vocabulary that is there and whole is only made to fit.
    Without `check_merges`, whether rules are about tokens that are there is left for
    `refuse_broken_program`, as of a program that is passed on: it takes a while.

    Raises CorruptFileError where the `tokenizer.json` contradicts itself,
    UnrepresentableError where it does what a flat vocabulary cannot say, and
    ModelCheckError where there are more tokens than rows.
    """
    flat = tokenizer.flat
    program = None if _is_whole(flat) else tokenizer.program
    if program is not None:
        document = parsed(program)
        clean_up = tokenizer.clean_up_spaces
        flat = flat_vocabulary(document, clean_up, check_merges=check_merges)
        if tokenizer.add_space_prefix is None:
            tokenizer = evolve(tokenizer, add_space_prefix=prefixes_space(document))
    if flat is None:
        raise ModelCheckError(
            SUBJECT,
            "it has neither a vocabulary nor a program; give the model one with"
            " 'aprhub stamp --tokenizer'",
        )
    flat = fitted(unique(flat), rows, tokenizer.special_ids)
    return evolve(tokenizer, flat=flat)


def flat_vocabulary(
    document: Document, clean_up: bool | None, *, check_merges: bool = True
) -> FlatVocabulary:
    """Return a document as flat lists; raises as `flattened` does.

    `clean_up` says whether decoding tidies spaces, which some names of pre-tokenizers
    imply.
    """
    kind = kind_of(document)
    check_representable(document)
    split = split_of(document, clean_up).names[0] if kind == BYTE_LEVEL else _UNNAMED
    flat = evolve(_KINDS[kind](document), pre=split)
    if check_merges and flat.merges is not None:
        pairs_of(document, model_ids(document))
    return flat


def _is_whole(flat: FlatVocabulary | None) -> bool:
    if flat is None:
        return False
    return all(getattr(flat, each) is not None for each in _NEEDED.get(flat.model, ()))
