"""A `tokenizer.json` without what a flat vocabulary beside it says already.

A skeleton is a JSON object: `tokenizer` is the program without vocabulary and merge
rules, `vocab` and `merges` are the recipes that put them back, and `checksum` is that
of what was left out.
"""

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import orjson

from aprhub.errors import CorruptFileError
from aprhub.ir.tokenizer import FlatVocabulary, Program
from aprhub.tokenizer.document import Document, parsed, written
from aprhub.tokenizer.flattening import flat_vocabulary
from aprhub.tokenizer.merges import as_pairs
from aprhub.tokenizer.placing import placed
from aprhub.tokenizer.recipes import (
    Ordered,
    Rules,
    merges_recipe,
    recalled_merges,
    recalled_vocabulary,
    texts_of,
    vocabulary_recipe,
)

_NAME: Final = "tokenizer skeleton"
_REPAIR: Final = "give the model its tokenizer again with 'aprhub stamp --tokenizer'"
_BROKEN: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What comes of data that is not made like a skeleton."""


def skeleton(json: Program, flat: FlatVocabulary | None = None) -> str:
    """Return a `tokenizer.json` without what `flat` says; inverse of `restored`.

    `flat` is the vocabulary that will stand beside it. With None it is the one that
    `flattened` makes of the text, and what `flattened` raises is raised. Raises
    CorruptFileError where the text is not made like a tokenizer.
    """
    document = parsed(json)
    placed(document)
    rules = _rules(document)
    texts = texts_of(rules)
    vocabulary = Ordered.of(document.model["vocab"])
    flat = flat or flat_vocabulary(document, None)
    left_out = {key: None for key in ("vocab", "merges") if key in document.model}
    recipes = {
        "vocab": vocabulary_recipe(vocabulary, flat),
        "merges": merges_recipe(rules, texts, flat),
        "checksum": _checksum(vocabulary, texts),
    }
    program = {**document.root, "model": {**document.model, **left_out}}
    return written({"tokenizer": program, **recipes}).decode()


def restored(skeleton_text: str, flat: FlatVocabulary) -> bytes:
    """Return a `tokenizer.json` from its skeleton.

    It is equal to the original as JSON. Raises CorruptFileError where the
    skeleton is none, or was not made for this vocabulary.
    """
    try:
        data = orjson.loads(skeleton_text)
        model = data["tokenizer"]["model"]
        vocabulary = recalled_vocabulary(data["vocab"], flat)
        rules = recalled_merges(data["merges"], flat)
        checksum = data["checksum"]
        found = _checksum(Ordered.of(vocabulary), texts_of(rules))
        model["vocab"] = vocabulary
        model |= {"merges": rules} if "merges" in model else {}
    except _BROKEN as error:
        what = f"it does not fit the vocabulary beside it: {error!r:.80}"
        raise CorruptFileError(_NAME, what, repair=_REPAIR) from error
    if found != checksum:
        what = "the vocabulary beside it is not the one that it was made for"
        raise CorruptFileError(_NAME, what, repair=_REPAIR)
    return written(data["tokenizer"])


def _rules(document: Document) -> Rules:
    rules: Rules = document.model.get("merges")
    if rules is not None:
        as_pairs(rules)
    return rules


def _checksum(vocabulary: Ordered, texts: Sequence[str]) -> int:
    words, rules = "\0".join(vocabulary.words), "\0".join(texts)
    # Equal scores may be spelled in several ways: 0, 0.0, -0.0.
    numbers = np.asarray(vocabulary.numbers, "<f8") + 0.0
    crc = zlib.crc32(words.encode("utf-8", "surrogatepass"))
    crc = zlib.crc32(numbers.tobytes(), crc)
    return zlib.crc32(rules.encode("utf-8", "surrogatepass"), crc)
