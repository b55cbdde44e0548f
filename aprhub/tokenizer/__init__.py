"""Converts between the two forms of a tokenizer."""

from aprhub.tokenizer.assembling import assembled
from aprhub.tokenizer.described import described
from aprhub.tokenizer.flattening import flattened
from aprhub.tokenizer.parity import PROBES, same_ids, token_ids
from aprhub.tokenizer.sentencepiece import read_sentencepiece
from aprhub.tokenizer.skeletons import restored, skeleton
from aprhub.tokenizer.vocabulary_files import joined_files

__all__ = [
    "PROBES",
    "assembled",
    "described",
    "flattened",
    "joined_files",
    "read_sentencepiece",
    "restored",
    "same_ids",
    "skeleton",
    "token_ids",
]
