"""Small tokenizers of every kind, as a `tokenizer.json` spells them."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from tokenizers import Tokenizer as Program
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from aprhub.api import Tokenizer
from tests.judges import corpus, spm

Document = dict[str, Any]

SPECIALS: Final = ("<|begin|>", "<|end|>")
LETTERS: Final = {"a": 0, "b": 1, "c": 2, "Ġ": 3}
BYTE_LEVEL: Final = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": False,
    "use_regex": True,
}


def byte_level() -> Document:
    """Return four letters, two merges, a control token and one of a user."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(6, "<|end|>"), added(7, "<tool>", special=False)],
        "normalizer": None,
        "pre_tokenizer": dict(BYTE_LEVEL),
        "post_processor": dict(BYTE_LEVEL),
        "decoder": dict(BYTE_LEVEL),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {**LETTERS, "ab": 4, "abc": 5},
            "merges": ["a b", "ab c"],
        },
    }


def added(number: int, content: str, *, special: bool = True) -> Document:
    return {
        "id": number,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def changed(document: Document, **parts: Any) -> str:
    """Return the text of a document with parts replaced, those of its model too."""
    own = {key: value for key, value in parts.items() if key in document}
    inner = {key: value for key, value in parts.items() if key not in document}
    model = {**document["model"], **inner}
    return json.dumps({**document, "model": model, **own})


def template(*single: str, pair: tuple[str, ...] = ()) -> Document:
    """Return a post-processor; `A` and `B` are the texts, all else special tokens."""

    def items(names: tuple[str, ...]) -> list[Document]:
        return [
            {"Sequence": {"id": name, "type_id": 0}}
            if name in "AB"
            else {"SpecialToken": {"id": name, "type_id": 0}}
            for name in names
        ]

    return {
        "type": "TemplateProcessing",
        "single": items(single),
        "pair": items(pair),
        "special_tokens": {},
    }


def from_json(text: str, **said: Any) -> Tokenizer:
    return Tokenizer(json=text, **said)


def learnt(texts: Iterable[str] = corpus.TEXTS) -> Mapping[str, str]:
    """Return a trained tokenizer of every kind by its name in ggml's words."""
    return {
        "gpt2": _trained_byte_level(tuple(texts)),
        "llama": spm.trained(),
        "t5": _trained_unigram(tuple(texts)),
        "bert": _trained_wordpiece(tuple(texts)),
    }


@cache
def _trained_byte_level(texts: tuple[str, ...]) -> str:
    program = Program(models.BPE())
    program.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=alphabet, show_progress=False
    )
    program.train_from_iterator(texts, trainer)
    program.add_special_tokens(list(SPECIALS))
    program.add_tokens(["<tool>"])
    return program.to_str()


@cache
def _trained_unigram(texts: tuple[str, ...]) -> str:
    program = Program(models.Unigram())
    program.normalizer = normalizers.Replace("  ", " ")
    program.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=600,
        show_progress=False,
        unk_token="<unk>",
        special_tokens=["<pad>", "</s>", "<unk>"],
    )
    program.train_from_iterator(texts, trainer)
    program.normalizer = None
    program.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    document = json.loads(program.to_str())
    pieces = document["model"]["vocab"]
    # What SentencePiece trains has scores of 32 bits.
    document["model"]["vocab"] = [[word, float(np.float32(s))] for word, s in pieces]
    return json.dumps(document)


@cache
def _trained_wordpiece(texts: tuple[str, ...]) -> str:
    program = Program(models.WordPiece(unk_token="[UNK]"))
    program.normalizer = normalizers.BertNormalizer(lowercase=True)
    program.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=900,
        show_progress=False,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    )
    program.train_from_iterator(texts, trainer)
    program.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return program.to_str()
