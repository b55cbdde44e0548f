"""A byte-level BPE tokenizer of a few hundred tokens, in both forms."""

import json
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from aprhub.api import FlatVocabulary, Tokenizer

MERGES: Final = ("h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "l d", "Ġ Ġ")
CONTROLS: Final = ("<|begin|>", "<|end|>")
USER_DEFINED: Final = ("<tool>",)
TEMPLATE: Final = "{% for m in messages %}<|begin|>{{ m['content'] }}{% endfor %}"


def _byte_characters() -> Iterator[str]:
    """Yield the character that stands for each byte, as GPT-2 spells them.

    Bytes that print stand for themselves; the others follow from code point 256 on.
    """
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    for byte in range(0x100):
        yield chr(byte if byte in shown else next(spare))


def _vocabulary() -> tuple[str, ...]:
    merged = (merge.replace(" ", "") for merge in MERGES)
    return (*_byte_characters(), *merged)


def pico_tokenizer() -> Tokenizer:
    """Return the tokenizer: bytes, a few merges, two control tokens, one of a user."""
    learned = _vocabulary()
    tokens = (*learned, *CONTROLS, *USER_DEFINED)
    types = [1] * len(learned) + [3] * len(CONTROLS) + [4] * len(USER_DEFINED)
    return Tokenizer(
        FlatVocabulary(
            "gpt2", tokens, "gpt-2", None, np.array(types, np.int32), MERGES
        ),
        json.dumps(_program(learned), ensure_ascii=False),
        {"bos": len(learned), "eos": len(learned) + 1},
        add_bos=False,
        add_eos=False,
        chat_template=TEMPLATE,
    )


def _program(learned: tuple[str, ...]) -> dict[str, Any]:
    added = enumerate((*CONTROLS, *USER_DEFINED), len(learned))
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(number, text) for number, text in added],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {text: number for number, text in enumerate(learned)},
            "merges": [merge.split(" ") for merge in MERGES],
        },
    }


def _added(number: int, text: str) -> dict[str, Any]:
    return {
        "id": number,
        "content": text,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": text in CONTROLS,
    }
