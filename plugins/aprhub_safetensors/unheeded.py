"""What transformers leaves out of a folder that it runs all the same."""

from collections.abc import Iterator
from typing import Final

from aprhub.api import StoredModel, same_split
from aprhub_safetensors.spelling import identity_names

_OWN_SPLITS: Final = {"qwen2": "qwen2"}
"""The pre-tokenizer, by ggml's name, that transformers 5 gives models of a type.

It does so whatever `tokenizer.json` says, and the class in `tokenizer_config.json`: for
the types in its MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS that have their own class.
"""


def unheeded(stored: StoredModel) -> Iterator[str]:
    """Yield what a model's tokenizer does otherwise in transformers."""
    model_type = identity_names(stored)[1] or ""
    own = _OWN_SPLITS.get(model_type)
    flat = stored.tokenizer.flat if stored.tokenizer else None
    if own is None or flat is None or same_split(flat.pre, own):
        return
    yield (
        f"transformers splits text of a model of type {model_type!r} as {own!r} does,"
        " whatever tokenizer.json says: load that with its `tokenizers` library where"
        f" ids should be those of {flat.pre or 'default'!r}"
    )
