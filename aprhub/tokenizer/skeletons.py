"""A `tokenizer.json` without what a flat vocabulary beside it says already.

A skeleton is a JSON object: `tokenizer` is the program without vocabulary and merge
rules, `vocab` and `merges` are the recipes that put them back, and `checksum` is that
of what was left out.
"""

from typing import Final

import numpy as np
import orjson
from isal import isal_zlib

from aprhub.errors import CorruptFileError
from aprhub.ir.texts import Texts
from aprhub.ir.tokenizer import FlatVocabulary, Program
from aprhub.tokenizer.document import keep_parsed, parsed, written
from aprhub.tokenizer.flattening import flat_vocabulary
from aprhub.tokenizer.merges import texts_of
from aprhub.tokenizer.placing import placed
from aprhub.tokenizer.recipes import (
    Ordered,
    merges_recipe,
    recalled_merges,
    recalled_vocabulary,
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
    words = placed(document)
    rules = document.model.get("merges")
    texts = texts_of(rules)
    listed = document.model["vocab"]
    vocabulary = Ordered.of(listed if isinstance(listed, list) else words.ids)
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
        rules, texts = recalled_merges(data["merges"], flat)
        checksum = data["checksum"]
        found = _checksum(vocabulary, texts)
        model["vocab"] = vocabulary.listed
        model |= {"merges": rules} if "merges" in model else {}
    except _BROKEN as error:
        what = f"it does not fit the vocabulary beside it: {error!r:.80}"
        raise CorruptFileError(_NAME, what, repair=_REPAIR) from error
    if found != checksum:
        what = "the vocabulary beside it is not the one that it was made for"
        raise CorruptFileError(_NAME, what, repair=_REPAIR)
    program = written(data["tokenizer"])
    keep_parsed(program, data["tokenizer"])
    return program


def _checksum(vocabulary: Ordered, texts: Texts) -> int:
    words, rules = (each.divided(b"\0")[:-1] for each in (vocabulary.words, texts))
    # Equal scores may be spelled in several ways: 0, 0.0, -0.0.
    numbers = vocabulary.ids if vocabulary.scores is None else vocabulary.scores
    crc = isal_zlib.crc32(words)
    crc = isal_zlib.crc32((np.asarray(numbers, "<f8") + 0.0).tobytes(), crc)
    return isal_zlib.crc32(rules, crc)
