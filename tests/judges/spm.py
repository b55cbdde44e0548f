"""A small tokenizer of the SentencePiece kind, trained here and now."""

import json
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from itertools import chain
from typing import Any, Final

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.judges.corpus import TEXTS

SIZE: Final = 2000

_SPECIALS: Final = ("<unk>", "<s>", "</s>")
_BYTES: Final = tuple(f"<0x{byte:02X}>" for byte in range(256))
_METASPACE: Final = "▁"
_BOS: Final = {"SpecialToken": {"id": "<s>", "type_id": 0}}

CONFIG: Final[Mapping[str, Any]] = {
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "chat_template": (
        "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] "
        "{{ message['content'] }}{{ eos_token }}{% endfor %}"
    ),
    "clean_up_tokenization_spaces": False,
    "eos_token": "</s>",
    "legacy": True,
    "model_max_length": 512,
    "tokenizer_class": "LlamaTokenizer",
    "unk_token": "<unk>",
}


@cache
def trained() -> str:
    """Return a `tokenizer.json` of `SIZE` tokens, the same at every call.

    It has the shape of Llama 2's: BPE with byte fallback, no pre-tokenizer, and as
    merges every way to split a token in two others, so that merging by rank
    gives what SentencePiece gives by score.
    """
    pieces = _pieces()
    vocabulary = {token: i for i, token in enumerate((*_SPECIALS, *_BYTES, *pieces))}
    return json.dumps(_document(vocabulary), ensure_ascii=False)


@cache
def pieces() -> bytes:
    """Return the same vocabulary as the `tokenizer.model` that SentencePiece reads."""
    proto: Any = import_module("sentencepiece.sentencepiece_model_pb2")
    model = proto.ModelProto()
    model.trainer_spec.model_type = proto.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    for rank, text in enumerate(json.loads(trained())["model"]["vocab"]):
        kind = proto.ModelProto.SentencePiece.NORMAL
        if rank < len(_SPECIALS) + len(_BYTES):
            kind = proto.ModelProto.SentencePiece.BYTE
        if rank < len(_SPECIALS):
            kind = proto.ModelProto.SentencePiece.CONTROL
        if text == "<unk>":
            kind = proto.ModelProto.SentencePiece.UNKNOWN
        model.pieces.add(piece=text, score=-rank, type=kind)
    return bytes(model.SerializeToString())


def _pieces() -> list[str]:
    """Return what BPE learns from the corpus, the first merge first, letters last."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(_METASPACE, "always")
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - len(_SPECIALS) - len(_BYTES), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    by_rank = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    learnt = [token for token, _ in by_rank]
    return sorted(learnt, key=lambda token: len(token) == 1)


def _document(vocabulary: dict[str, int]) -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(i, text) for i, text in enumerate(_SPECIALS)],
        "normalizer": _sequence(
            "normalizers",
            {"type": "Prepend", "prepend": _METASPACE},
            {"type": "Replace", "pattern": {"String": " "}, "content": _METASPACE},
        ),
        "pre_tokenizer": None,
        "post_processor": _post_processor(),
        "decoder": _sequence(
            "decoders",
            {"type": "Replace", "pattern": {"String": _METASPACE}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ),
        "model": _model(vocabulary),
    }


def _model(vocabulary: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": "<unk>",
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": True,
        "vocab": vocabulary,
        "merges": [" ".join(pair) for pair in _merges(vocabulary)],
    }


def _merges(vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    pieces = list(vocabulary)[len(_SPECIALS) + len(_BYTES) :]
    return list(chain.from_iterable(_splits(piece, vocabulary) for piece in pieces))


def _splits(piece: str, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    pairs = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
    known = [(a, b) for a, b in pairs if a in vocabulary and b in vocabulary]
    return sorted(known, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))


def _post_processor() -> dict[str, Any]:
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [_BOS, first],
        "pair": [_BOS, first, _BOS, second],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }


def _sequence(kind: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", kind: list(steps)}


def _added(i: int, text: str) -> dict[str, Any]:
    switches = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": i, "content": text, **switches, "special": True}
