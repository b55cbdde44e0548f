"""Converts between the two forms of a tokenizer."""

from aprhub.tokenizer.assembling import assembled
from aprhub.tokenizer.described import described
from aprhub.tokenizer.flattening import flattened
from aprhub.tokenizer.parity import PROBES, same_ids, token_ids
from aprhub.tokenizer.skeletons import restored, skeleton

__all__ = [
    "PROBES",
    "assembled",
    "described",
    "flattened",
    "restored",
    "same_ids",
    "skeleton",
    "token_ids",
]
