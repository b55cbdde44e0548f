"""Converts between the two forms of a tokenizer."""

from aprhub.tokenizer.assembling import assembled
from aprhub.tokenizer.described import described
from aprhub.tokenizer.flattening import flattened

__all__ = ["assembled", "described", "flattened"]
