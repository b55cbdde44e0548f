"""A `tokenizer.json` from the two files that came before it.

`vocab.json` maps tokens to ids, `merges.txt` has one merge rule a line. Neither says
how text is split; for that there is only the class that `tokenizer_config.json` names.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from aprhub.errors import CorruptFileError, UnsupportedFileError
from aprhub.tokenizer.added import added_entries
from aprhub.tokenizer.document import written
from aprhub.tokenizer.pretokenizers import pre_tokenizer, split_named
from aprhub.tokenizer.programs import BYTE_LEVEL_STEP, bpe_model

_VOCABULARY: Final = "vocab.json"
_CONFIG: Final = "tokenizer_config.json"
_SPLITS: Final = {
    "GPT2Tokenizer": "gpt-2",
    "GPT2TokenizerFast": "gpt-2",
    "GPTNeoXTokenizer": "mpt",
    "GPTNeoXTokenizerFast": "mpt",
    "Qwen2Tokenizer": "qwen2",
    "Qwen2TokenizerFast": "qwen2",
}
"""The classes that split text in one fixed way, and the name of the way."""


def joined_files(
    vocab_text: str, merges_text: str, tokenizer_config: Mapping[str, Any]
) -> bytes:
    """Return the `tokenizer.json` that a folder with the older files stands for.

    Raises CorruptFileError for a `vocab.json` that is none, and UnsupportedFileError
    for a class that is not known to split text in one fixed way. What the files say
    of tokens is checked where the text is read.
    """
    name = tokenizer_config.get("tokenizer_class")
    if name not in _SPLITS:
        known = ", ".join(sorted(_SPLITS))
        raise UnsupportedFileError(
            _CONFIG,
            f"tokenizer_class is {name!r:.80}, expected one of {known}; put a"
            " tokenizer.json beside it, as save_pretrained of transformers writes it",
        )
    split = split_named(_SPLITS[name])
    lines = merges_text.split("\n")
    rules = [line.split(" ") for line in lines if line and not _is_heading(line)]
    return written(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added_entries(tokenizer_config.get("added_tokens_decoder")),
            "normalizer": {"type": "NFC"} if split.nfc else None,
            "pre_tokenizer": pre_tokenizer(split),
            "post_processor": BYTE_LEVEL_STEP,
            "decoder": BYTE_LEVEL_STEP,
            "model": bpe_model(_vocabulary(vocab_text), rules),
        }
    )


def _is_heading(line: str) -> bool:
    return line.startswith("#version")


def _vocabulary(text: str) -> Mapping[str, int]:
    try:
        vocabulary = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(_VOCABULARY, f"this is not JSON: {error}") from error
    if isinstance(vocabulary, dict):
        return vocabulary
    raise CorruptFileError(_VOCABULARY, f"{vocabulary!r:.80} found, an object expected")
