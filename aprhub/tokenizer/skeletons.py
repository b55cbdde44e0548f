"""A `tokenizer.json` without what a flat vocabulary beside it says already.

A skeleton is a JSON object: `tokenizer` is the program without vocabulary and merge
rules, `vocab` and `merges` are the recipes that put them back, and `checksum` is that
of what was left out.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Final

from aprhub.errors import CorruptFileError
from aprhub.ir.tokenizer import FlatVocabulary
from aprhub.tokenizer.document import Document, parsed
from aprhub.tokenizer.flattening import flat_vocabulary
from aprhub.tokenizer.merges import pairs_of
from aprhub.tokenizer.placing import placed
from aprhub.tokenizer.recipes import (
    Rules,
    Vocabulary,
    merges_recipe,
    recalled_merges,
    recalled_vocabulary,
    vocabulary_recipe,
)

_NAME: Final = "tokenizer skeleton"
_BROKEN: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What comes of data that is not made like a skeleton."""


def skeleton(json_text: str, flat: FlatVocabulary | None = None) -> str:
    """Return a tokenizer's text without what `flat` says; `restored` is the inverse.

    `flat` is the vocabulary that will stand beside it. With None it is the one that
    `flattened` makes of the text, and what `flattened` raises is raised. Raises
    CorruptFileError where the text contradicts itself.
    """
    document = parsed(json_text)
    rules = _checked_rules(document)
    vocabulary: Vocabulary = document.model["vocab"]
    flat = flat or flat_vocabulary(document, None)
    left_out = {key: None for key in ("vocab", "merges") if key in document.model}
    recipes = {
        "vocab": vocabulary_recipe(vocabulary, flat),
        "merges": merges_recipe(rules, flat),
        "checksum": _checksum(vocabulary, rules),
    }
    program = {**document.root, "model": {**document.model, **left_out}}
    return json.dumps({"tokenizer": program, **recipes}, ensure_ascii=False)


def restored(skeleton_text: str, flat: FlatVocabulary) -> str:
    """Return the text of a `tokenizer.json` from its skeleton.

    The text is equal to the original as JSON. Raises CorruptFileError where the
    skeleton is none, or was not made for this vocabulary.
    """
    try:
        data = json.loads(skeleton_text)
        model = data["tokenizer"]["model"]
        vocabulary = recalled_vocabulary(data["vocab"], flat)
        rules = recalled_merges(data["merges"], flat)
        checksum = data["checksum"]
        found = _checksum(vocabulary, rules)
        model["vocab"] = vocabulary
        model |= {"merges": rules} if "merges" in model else {}
    except _BROKEN as error:
        what = f"it does not fit the vocabulary beside it: {error!r:.80}"
        raise CorruptFileError(_NAME, what) from error
    if found != checksum:
        raise CorruptFileError(
            _NAME, "the vocabulary beside it is not the one that it was made for"
        )
    return json.dumps(data["tokenizer"], ensure_ascii=False)


def _checked_rules(document: Document) -> Rules:
    ids = placed(document).ids
    if document.model.get("merges") is None:
        return None
    pairs_of(document, ids)
    rules: Rules = document.model["merges"]
    return rules


def _checksum(vocabulary: Vocabulary, rules: Rules) -> int:
    if isinstance(vocabulary, Mapping):
        words = sorted(vocabulary, key=vocabulary.__getitem__)
        numbers = list(map(float, sorted(vocabulary.values())))
    else:
        words = [piece[0] for piece in vocabulary]
        # Equal scores may be spelled in several ways: 0, 0.0, -0.0.
        numbers = [float(piece[1]) + 0.0 for piece in vocabulary]
    texts = (rule if isinstance(rule, str) else " ".join(rule) for rule in rules or ())
    text = "\0".join((*words, repr(numbers), *texts))
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
