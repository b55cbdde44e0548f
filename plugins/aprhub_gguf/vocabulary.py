"""Keys `tokenizer.*` ⇄ Tokenizer.

Names: `docs/gguf.md` of ggml-org/ggml and `LLM_KV_TOKENIZER_*` of llama.cpp.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aprhub.api import FlatVocabulary, Tokenizer, UnrepresentableError, as_texts
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.values import Entry

_GGML: Final = "tokenizer.ggml."
_MODEL: Final = f"{_GGML}model"
_PRE: Final = f"{_GGML}pre"
_TOKENS: Final = f"{_GGML}tokens"
_SCORES: Final = f"{_GGML}scores"
_TYPES: Final = f"{_GGML}token_type"
_MERGES: Final = f"{_GGML}merges"
_CHARSMAP: Final = f"{_GGML}precompiled_charsmap"
PREFIXES: Final = ("tokenizer.", "aprhub.tokenizer.")
"""How the keys of a tokenizer begin."""

_JSON: Final = "tokenizer.huggingface.json"
_SKELETON: Final = "aprhub.tokenizer.skeleton"
TEMPLATE: Final = "tokenizer.chat_template"
_TEMPLATES: Final = "tokenizer.chat_templates"

_KNOWN_TYPES: Final = range(7)
_NO_TOKENIZER: Final = ("none", "no_vocab")

# llama.cpp knows the separator under this spelling only.
_SPECIAL_IDS: Final = MappingProxyType(
    {
        f"{_GGML}bos_token_id": "bos",
        f"{_GGML}eos_token_id": "eos",
        f"{_GGML}eot_token_id": "eot",
        f"{_GGML}eom_token_id": "eom",
        f"{_GGML}unknown_token_id": "unk",
        f"{_GGML}seperator_token_id": "sep",
        f"{_GGML}padding_token_id": "pad",
        f"{_GGML}cls_token_id": "cls",
        f"{_GGML}mask_token_id": "mask",
        f"{_GGML}fim_pre_token_id": "fim_pre",
        f"{_GGML}fim_suf_token_id": "fim_suf",
        f"{_GGML}fim_mid_token_id": "fim_mid",
        f"{_GGML}fim_pad_token_id": "fim_pad",
        f"{_GGML}fim_rep_token_id": "fim_rep",
        f"{_GGML}fim_sep_token_id": "fim_sep",
    }
)
_OTHER_SPELLINGS: Final = MappingProxyType(
    {
        f"{_GGML}separator_token_id": "sep",
        f"{_GGML}prefix_token_id": "fim_pre",
        f"{_GGML}suffix_token_id": "fim_suf",
        f"{_GGML}middle_token_id": "fim_mid",
    }
)
_FLAGS: Final = MappingProxyType(
    {
        f"{_GGML}add_bos_token": "add_bos",
        f"{_GGML}add_eos_token": "add_eos",
        f"{_GGML}add_sep_token": "add_sep",
        f"{_GGML}add_space_prefix": "add_space_prefix",
        "aprhub.tokenizer.clean_up_spaces": "clean_up_spaces",
    }
)
_FLAT_FLAGS: Final = MappingProxyType(
    {
        f"{_GGML}remove_extra_whitespaces": "remove_extra_spaces",
        f"{_GGML}normalizer.lowercase": "lowercase",
        f"{_GGML}normalizer.strip_accents": "strip_accents",
    }
)


def token_count(ledger: Ledger) -> int | None:
    """Return how many tokens there are, or None where there is no vocabulary."""
    entry = ledger.entries.get(_TOKENS)
    if entry is None:
        return None
    if entry.of != "string":
        raise ledger.wrong(_TOKENS, "an array of string")
    return len(entry.value)


def read_tokenizer(ledger: Ledger) -> Tokenizer | None:
    """Read the tokenizer, or None when the file has none; tokens are not decoded.

    Raises CorruptFileError when lists that belong together differ in length.
    """
    flat = _read_flat(ledger)
    json = ledger.long_text(_JSON, "tokenizer.json")
    if flat is None and json is None:
        return None
    return Tokenizer(
        flat=flat,
        json=json,
        special_ids=_read_special_ids(ledger, token_count(ledger)),
        chat_template=ledger.text(TEMPLATE, "tokenizer.chat_template"),
        chat_templates=_read_templates(ledger),
        skeleton=ledger.text(_SKELETON, "tokenizer.skeleton"),
        **_read_flags(ledger, _FLAGS),
    )


def _read_flags(ledger: Ledger, table: Mapping[str, str]) -> dict[str, bool | None]:
    return {
        field: ledger.flag(key, f"tokenizer.{field}") for key, field in table.items()
    }


def _read_flat(ledger: Ledger) -> FlatVocabulary | None:
    count = token_count(ledger)
    model = ledger.text(_MODEL, "tokenizer.flat.model")
    if count is None and (model is None or model in _NO_TOKENIZER):
        return None
    tokens = ledger.array(_TOKENS, "tokenizer.flat.tokens", "string")
    if model is None or tokens is None:
        raise ledger.missing(_MODEL if model is None else _TOKENS, "a tokenizer")
    merges = ledger.array(_MERGES, "tokenizer.flat.merges", "string")
    return FlatVocabulary(
        model,
        tokens.value,
        ledger.text(_PRE, "tokenizer.flat.pre"),
        _numbers(ledger, _SCORES, np.dtype(np.float32), "f32", "i32"),
        _types(ledger),
        merges.value if merges else None,
        _bytes(ledger, _CHARSMAP),
        **_read_flags(ledger, _FLAT_FLAGS),
    )


def _bytes(ledger: Ledger, key: str) -> bytes | None:
    entry = ledger.array(key, "tokenizer.flat.charsmap", "u8", "i8")
    return None if entry is None else bytes(entry.value.raw())


def _numbers(
    ledger: Ledger, key: str, dtype: np.dtype[Any], *kinds: str
) -> NDArray[Any] | None:
    """Read a number for each token."""
    entry = ledger.array(key, f"tokenizer.flat.{key.removeprefix(_GGML)}", *kinds)
    if entry is None:
        return None
    if len(entry.value) != token_count(ledger):
        raise ledger.wrong(key, f"one number for each of {token_count(ledger)} tokens")
    numbers: NDArray[Any] = entry.value.numpy()
    return numbers.astype(dtype, copy=False)


def _types(ledger: Ledger) -> NDArray[np.int32] | None:
    types = _numbers(ledger, _TYPES, np.dtype(np.int32), "i32")
    if types is not None and not np.isin(types, _KNOWN_TYPES).all():
        raise ledger.wrong(_TYPES, "the types 0 to 6")
    return types


def _read_special_ids(ledger: Ledger, count: int | None) -> dict[str, int]:
    ids: dict[str, int] = {}
    for key, name in (*_SPECIAL_IDS.items(), *_OTHER_SPELLINGS.items()):
        number = ledger.integer(key, f"tokenizer.special_ids.{name}")
        if number is None:
            continue
        if count is not None and number >= count:
            raise ledger.wrong(key, f"one of the {count} tokens")
        if ids.setdefault(name, number) != number:
            ledger.carry_noted(key, f"the other spelling says {ids[name]}")
    return ids


def _read_templates(ledger: Ledger) -> dict[str, str]:
    prefix = f"{TEMPLATE}."
    templates = {}
    for key in [key for key in ledger.entries if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        text = ledger.text(key, f"tokenizer.chat_templates.{name}")
        templates[name] = text or ""
    listed = ledger.texts(_TEMPLATES, "tokenizer.chat_templates")
    if listed is not None and {*listed} != {*templates}:
        ledger.carry_noted(_TEMPLATES, "names other templates than there are")
    return templates


def tokenizer_entries(tokenizer: Tokenizer | None) -> Iterator[tuple[str, Entry]]:
    """Yield the entries of a tokenizer, or the one that says that there is none.

    Raises UnrepresentableError without a flat vocabulary, and for tokens that are not
    unique: llama.cpp ends the process on those.
    """
    if tokenizer is None:
        yield _MODEL, Entry("string", _NO_TOKENIZER[0])
        return
    if tokenizer.flat is None:
        what = "GGUF needs the tokens as a list; make it with aprhub.api.flattened"
        raise UnrepresentableError(_TOKENS, what)
    yield from _flat_entries(tokenizer.flat)
    for key, name in _SPECIAL_IDS.items():
        if name in tokenizer.special_ids:
            yield key, Entry("u32", tokenizer.special_ids[name])
    yield from _flag_entries(tokenizer, _FLAGS)
    yield from _template_entries(tokenizer)
    for key, text in ((_JSON, tokenizer.program), (_SKELETON, tokenizer.skeleton)):
        if text is not None:
            yield key, Entry("string", text)


def _flat_entries(flat: FlatVocabulary) -> Iterator[tuple[str, Entry]]:
    _require_unique(flat.tokens)
    yield _MODEL, Entry("string", flat.model)
    if flat.pre is not None:
        yield _PRE, Entry("string", flat.pre)
    yield _TOKENS, Entry("array", flat.tokens, "string")
    if flat.scores is not None:
        yield _SCORES, Entry("array", flat.scores, "f32")
    if flat.types is not None:
        yield _TYPES, Entry("array", flat.types, "i32")
    if flat.merges is not None:
        yield _MERGES, Entry("array", flat.merges, "string")
    if flat.charsmap is not None:
        yield _CHARSMAP, Entry("array", np.frombuffer(flat.charsmap, np.uint8), "u8")
    yield from _flag_entries(flat, _FLAT_FLAGS)


def _flag_entries(
    owner: Tokenizer | FlatVocabulary, table: Mapping[str, str]
) -> Iterator[tuple[str, Entry]]:
    for key, field in table.items():
        if getattr(owner, field) is not None:
            yield key, Entry("bool", getattr(owner, field))


def _template_entries(tokenizer: Tokenizer) -> Iterator[tuple[str, Entry]]:
    if tokenizer.chat_template is not None:
        yield TEMPLATE, Entry("string", tokenizer.chat_template)
    if tokenizer.chat_templates:
        names = list(tokenizer.chat_templates)
        yield _TEMPLATES, Entry("array", names, "string")
    for name, text in tokenizer.chat_templates.items():
        yield f"{TEMPLATE}.{name}", Entry("string", text)


def _require_unique(tokens: Sequence[str]) -> None:
    repeated = repeated_tokens(tokens)
    if repeated:
        raise UnrepresentableError(
            _TOKENS,
            f"{len(repeated)} tokens are there more than once, such as"
            f" {repeated[0]!r:.80}; give the unused ones names of their own",
        )


def repeated_tokens(tokens: Sequence[str]) -> list[str]:
    """Return the tokens that are there more than once.

    Empty tokens do not count: llama.cpp gives each a name of its own.
    """
    texts = as_texts(tokens)
    if texts.are_distinct:
        return []
    return [text for text, count in Counter(texts).items() if text and count > 1]
