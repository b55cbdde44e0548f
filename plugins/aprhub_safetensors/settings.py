"""Special tokens in the texts of a folder, put right where they are no longer true.

A model keeps the texts that it came with. Another program or a stamp may have given it
other special tokens since.
"""

from collections.abc import Mapping
from typing import Any, Final

from aprhub.api import StoredModel, Tokenizer, described
from aprhub_safetensors.companions import (
    generation_keys,
    tokenizer_config,
    values_of,
)
from aprhub_safetensors.spelling import as_text
from aprhub_safetensors.tables import (
    CONFIG,
    GENERATION,
    SPECIAL_TOKENS,
    TOKENIZER_CONFIG,
)

SETTINGS: Final = (GENERATION, TOKENIZER_CONFIG, CONFIG)
"""The texts in which special tokens stand, in the order in which they are placed."""

_ROLES: Final = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_KEYS: Final[Mapping[str, str]] = {
    "add_bos": "add_bos_token",
    "add_eos": "add_eos_token",
    "clean_up_spaces": "clean_up_tokenization_spaces",
}
"""The key in `tokenizer_config.json` of each flag."""


def true_settings(texts: Mapping[str, str], stored: StoredModel) -> dict[str, str]:
    """Return the texts as the tokenizer is; those that say so stay to the letter.

    It takes the `tokenizer.json`, which may have to be made for that. Raises what
    reading the texts raises.
    """
    tokenizer = stored.tokenizer
    program = tokenizer.program if tokenizer else None
    if tokenizer is None or program is None:
        return dict(texts)
    said = _said(texts, program)
    made = tokenizer_config(stored, tokenizer)
    changes = {key: made.get(key) for key in _wrong(said, tokenizer)}
    numbers = generation_keys(tokenizer) if _ends(said) != _ends(tokenizer) else {}
    return {
        **texts,
        **_changed(texts, TOKENIZER_CONFIG, changes),
        **_changed(texts, GENERATION, numbers),
        **_changed(texts, CONFIG, numbers),
    }


def _said(texts: Mapping[str, str], program: bytes) -> Tokenizer:
    """Return the tokenizer that a reader of the texts would find."""
    names = (TOKENIZER_CONFIG, SPECIAL_TOKENS, CONFIG, GENERATION)
    return described(program, *(values_of(texts, name) for name in names))


def _wrong(said: Tokenizer, true: Tokenizer) -> list[str]:
    """Return the keys of `tokenizer_config.json` that are not as they should be."""
    roles = [
        f"{role}_token"
        for role in _ROLES
        if said.special_ids.get(role) != true.special_ids.get(role)
    ]
    flags = [
        key
        for flag, key in _KEYS.items()
        if getattr(true, flag) not in (None, getattr(said, flag))
    ]
    return [*roles, *flags]


def _ends(tokenizer: Tokenizer) -> dict[str, int | None]:
    """Return what generation has numbers for."""
    roles = ("bos", "eos", "pad", "eot", "eom")
    return {role: tokenizer.special_ids.get(role) for role in roles}


def _changed(
    texts: Mapping[str, str], name: str, changes: Mapping[str, Any]
) -> dict[str, str]:
    if name not in texts or not changes:
        return {}
    gone = {key for key, value in changes.items() if value is None}
    values = {**values_of(texts, name), **changes}
    kept = {key: value for key, value in values.items() if key not in gone}
    return {name: as_text(kept)}
