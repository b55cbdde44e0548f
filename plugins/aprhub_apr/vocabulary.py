"""Metadata keys ⇄ the tokenizer.

A vocabulary with merges is taken as byte-level BPE by programs that run APR files, and
one with scores as SentencePiece; so the merges of a SentencePiece vocabulary stand
under a key of aprhub's own.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aprhub.api import (
    FlatVocabulary,
    Texts,
    Tokenizer,
    UnrepresentableError,
    as_texts,
    skeleton,
)
from aprhub_apr.claims import COUNT, FLAG, TEXT, TEXTS, Claims, Kind, listed, mapped
from aprhub_apr.document import brief

PREFIX: Final = "tokenizer."
SKELETON: Final = "aprhub.tokenizer_skeleton"
TEMPLATES: Final = "aprhub.chat_templates"
MERGES: Final = "aprhub.merges"
CHARSMAP: Final = "aprhub.charsmap"
OWN_KEYS: Final = ("chat_template", SKELETON, TEMPLATES, MERGES, CHARSMAP)
"""The keys of a tokenizer that do not have the prefix."""

COLUMNS: Final = (PREFIX + "vocabulary", PREFIX + "merges", MERGES)
"""The keys of the large lists of texts."""

_MODEL_TYPES: Final[Mapping[str, str]] = {
    "gpt2": "BPE",
    "llama": "unigram",
    "t5": "Unigram",
    "bert": "WordPiece",
}
"""The word of `tokenizer.model_type` for each model in the words of ggml."""

_MODELS: Final = {word: model for model, word in _MODEL_TYPES.items()}
_BYTE_TOKEN: Final = "<0x0A>"

_SPECIAL: Final[Mapping[str, str]] = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "sep": "separator_token_id",
    "pad": "padding_token_id",
    **{
        name: f"{name}_token_id"
        for name in (
            "cls",
            "mask",
            "eot",
            "eom",
            "fim_pre",
            "fim_suf",
            "fim_mid",
            "fim_pad",
            "fim_rep",
            "fim_sep",
        )
    },
}

_FLAGS: Final[Mapping[str, str]] = {
    "add_bos": "add_bos_token",
    "add_eos": "add_eos_token",
    "add_sep": "add_sep_token",
    "add_space_prefix": "add_space_prefix",
    "clean_up_spaces": "clean_up_tokenization_spaces",
}

_PREPARATION: Final[Mapping[str, str]] = {
    "remove_extra_spaces": "remove_extra_whitespaces",
    "lowercase": "normalizer.lowercase",
    "strip_accents": "normalizer.strip_accents",
}

_DTYPES: Final[Mapping[str, tuple[Any, Any]]] = {
    "scores": (np.float64, np.float32),
    "token_type": (np.int64, np.int32),
}
"""In what the values of a list are compared with the limits, and then kept."""

_SCORES: Final = listed("numbers", int, float)
_TYPES: Final = listed("integers", int)
_MERGES: Final = listed("strings", str, list)


def tokenizer(claims: Claims) -> Tokenizer | None:
    """Take the tokenizer; None where the file has nothing of one.

    Raises CorruptFileError for lists of different lengths and for ids outside them.
    """
    flat = _flat(claims)
    template = claims.take(
        "chat_template", TEXT, "tokenizer.chat_template", (PREFIX + "chat_template",)
    )
    templates = claims.take(TEMPLATES, mapped(TEXT), "tokenizer.chat_templates")
    flags = {
        name: claims.take(PREFIX + key, FLAG, f"tokenizer.{name}")
        for name, key in _FLAGS.items()
    }
    found = Tokenizer(
        flat,
        special_ids=_special_ids(claims, flat),
        chat_template=template,
        chat_templates=templates or {},
        skeleton=claims.take(SKELETON, TEXT, "tokenizer.skeleton"),
        **flags,
    )
    return None if found == Tokenizer() else found


def _flat(claims: Claims) -> FlatVocabulary | None:
    into = "tokenizer.flat"
    tokens = claims.take(PREFIX + "vocabulary", TEXTS, f"{into}.tokens")
    count = claims.take(PREFIX + "vocab_size", COUNT, f"{into}.tokens")
    if not tokens:
        return None
    tokens = _column(claims, PREFIX + "vocabulary", tokens)
    if count not in (None, len(tokens)):
        claims.notes.append(
            f"tokenizer.vocab_size is {count}, and there are {len(tokens)} tokens"
        )
    merges = _merges(claims)
    return FlatVocabulary(
        _model(claims, tokens, merges),
        tokens,
        claims.take(PREFIX + "pre_type", TEXT, f"{into}.pre"),
        _parallel(claims, "scores", _SCORES, tokens),
        _parallel(claims, "token_type", _TYPES, tokens),
        merges,
        _charsmap(claims),
        **{
            name: claims.take(PREFIX + key, FLAG, f"{into}.{name}")
            for name, key in _PREPARATION.items()
        },
    )


def _charsmap(claims: Claims) -> bytes | None:
    text = claims.take(CHARSMAP, TEXT, "tokenizer.flat.charsmap")
    try:
        return None if text is None else b64decode(text, validate=True)
    except ValueError as error:
        what = f"found {brief(text)}, expected base64: {error}"
        raise claims.error(CHARSMAP, what) from error


def _column(claims: Claims, key: str, texts: Sequence[str]) -> Texts:
    try:
        return as_texts(texts)
    except UnrepresentableError as error:
        what = f"a string has half of a surrogate pair: {error}"
        raise claims.error(key, what) from error


def _merges(claims: Claims) -> Texts | None:
    key = PREFIX + "merges"
    merges = claims.take(key, _MERGES, "tokenizer.flat.merges", (MERGES,))
    if merges is None:
        return None
    if not isinstance(merges, Texts) and list in set(map(type, merges)):
        claims.notes.append("tokenizer.merges are pairs; they are joined")
        merges = [_joined(claims, key, merge) for merge in merges]
    found = _column(claims, key, merges)
    if not (found.are_halved or all(map(str.__contains__, merges, repeat(" ")))):
        odd = next(merge for merge in merges if " " not in merge)
        raise claims.error(key, f"found {brief(odd)}, expected two parts and a space")
    return found


def _joined(claims: Claims, key: str, merge: str | list[Any]) -> str:
    if isinstance(merge, str):
        return merge
    parts = [part for part in merge if isinstance(part, str) and " " not in part]
    if len(parts) != 2 or len(merge) != 2:
        what = f"found {brief(merge)}, expected two strings without spaces"
        raise claims.error(key, what)
    return " ".join(parts)


def _model(claims: Claims, tokens: Sequence[str], merges: Sequence[str] | None) -> str:
    """Return the model in the words of ggml, from what the file says or has."""
    model: str | None = claims.take(PREFIX + "model", TEXT, "tokenizer.flat.model")
    word = claims.take(PREFIX + "model_type", TEXT, "tokenizer.flat.model")
    if model:
        return "gpt2" if model == "bpe" else model
    implied = _MODELS.get(word or ("BPE" if merges else "unigram"), "gpt2")
    return "llama" if implied == "gpt2" and _BYTE_TOKEN in tokens else implied


def _parallel(
    claims: Claims, name: str, kind: Kind, tokens: Sequence[str]
) -> NDArray[Any] | None:
    """Take one value for each token as an array, if there are any."""
    key, (wide, narrow) = PREFIX + name, _DTYPES[name]
    values = claims.take(key, kind, f"tokenizer.flat.{name}")
    if values is None:
        return None
    if len(values) != len(tokens):
        what = f"found {len(values)} values, expected one for each of {len(tokens)}"
        raise claims.error(key, f"{what} tokens")
    try:
        exact = np.array(values, wide)
    except OverflowError as error:
        raise claims.error(key, f"a value is too large: {error}") from error
    limit = np.finfo(narrow).max if narrow is np.float32 else np.iinfo(narrow).max
    fits = np.abs(exact) <= limit
    if not fits.all():
        raise claims.error(key, f"found {exact[~fits][0]}, expected at most {limit}")
    return exact.astype(narrow)


def _special_ids(claims: Claims, flat: FlatVocabulary | None) -> dict[str, int]:
    ids = {
        name: claims.take(PREFIX + key, COUNT, f"tokenizer.special_ids.{name}")
        for name, key in _SPECIAL.items()
    }
    for name, value in ids.items():
        if flat and value is not None and value >= len(flat.tokens):
            raise claims.error(
                PREFIX + _SPECIAL[name],
                f"found {value}, expected the id of one of {len(flat.tokens)} tokens",
            )
    return {name: value for name, value in ids.items() if value is not None}


def tokenizer_keys(tokenizer: Tokenizer | None) -> dict[str, Any]:
    """Return the tokenizer as metadata keys, None where there is nothing to say."""
    if tokenizer is None:
        return {}
    ids, flat = tokenizer.special_ids, tokenizer.flat
    return {
        "chat_template": tokenizer.chat_template,
        PREFIX + "chat_template": tokenizer.chat_template,
        TEMPLATES: dict(tokenizer.chat_templates) or None,
        **{PREFIX + key: ids.get(name) for name, key in _SPECIAL.items()},
        **{PREFIX + key: getattr(tokenizer, name) for name, key in _FLAGS.items()},
        **(_flat_keys(flat) if flat else {}),
        SKELETON: _skeleton(tokenizer),
    }


def _skeleton(tokenizer: Tokenizer) -> str | None:
    program = tokenizer.program
    if program is None or tokenizer.flat is None:
        return tokenizer.skeleton
    return skeleton(program, tokenizer.flat)


def _flat_keys(flat: FlatVocabulary) -> dict[str, Any]:
    charsmap = flat.charsmap
    spoken_by_scores = flat.model != "gpt2" and flat.scores is not None
    return {
        PREFIX + "model": flat.model,
        PREFIX + "model_type": _MODEL_TYPES.get(flat.model, flat.model),
        PREFIX + "pre_type": flat.pre,
        PREFIX + "vocabulary": as_texts(flat.tokens),
        PREFIX + "vocab_size": len(flat.tokens),
        PREFIX + "scores": None if flat.scores is None else flat.scores.tolist(),
        PREFIX + "token_type": None if flat.types is None else flat.types.tolist(),
        (MERGES if spoken_by_scores else PREFIX + "merges"): (
            None if flat.merges is None else as_texts(flat.merges)
        ),
        CHARSMAP: None if charsmap is None else b64encode(charsmap).decode(),
        **{PREFIX + key: getattr(flat, name) for name, key in _PREPARATION.items()},
    }
