"""A `tokenizer.json` without what a flat vocabulary beside it says already.

A skeleton is a JSON object: `tokenizer` is the program with an empty vocabulary and
no merges; `vocab` says which ids the model knows, which of their words and scores the
flat lists have otherwise, and has a checksum of all; `merges` has the rules that come
first, and says where the others are.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from aprhub.errors import CorruptFileError
from aprhub.ir.tokenizer import FlatVocabulary, Tokenizer
from aprhub.tokenizer.document import Document, parsed
from aprhub.tokenizer.flattening import flattened
from aprhub.tokenizer.lexicon import spelled, types_of
from aprhub.tokenizer.merges import Pair, stored_pairs
from aprhub.tokenizer.ranking import ranked_pairs
from aprhub.tokenizer.word_recipes import stored_words, words_of

_SKELETON: Final = "tokenizer skeleton"
_NOWHERE, _FLAT, _SCORES = "nowhere", "merges", "scores"


def skeleton(json_text: str, flat: FlatVocabulary | None = None) -> str:
    """Return a tokenizer's text without what `flat` says; `restored` is the inverse.

    `flat` is the vocabulary that will stand beside it; None stands for the one that
    `flattened` makes of the text, and raises what `flattened` raises.
    """
    document = parsed(json_text)
    if flat is None:
        flat = flattened(Tokenizer(json=json_text), None).flat
