"""Whose tokens a model is trained with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aprhub.detect import identify
from aprhub.errors import CorruptFileError, ModelCheckError, about
from aprhub.ir.tokenizer import Tokenizer
from aprhub.registry import Registry
from aprhub.tokenizer.describing import described
from aprhub.tokenizer.parity import loaded_program

PROGRAM: Final = "tokenizer.json"
SETTINGS: Final = "tokenizer_config.json"


def read_tokenizer(path: Path, registry: Registry) -> Tokenizer:
    """Return the tokenizer of a model, or of a folder with a `tokenizer.json`.

    Raises InputError for what cannot be read, ModelCheckError for a model without.
    """
    folder = path.parent if path.name == PROGRAM else path
    with about(path):
        if (folder / PROGRAM).is_file():
            return described(
                (folder / PROGRAM).read_text("utf-8"),
                _settings(folder / SETTINGS),
                *(None, None, None),
            )
        tokenizer = identify(path, registry).opened(path).tokenizer
    if tokenizer is None:
        what = "this model has no tokenizer; give it one with 'aprhub stamp'"
        raise ModelCheckError(path, what)
    return tokenizer


def _settings(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        values: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CorruptFileError(path, f"not JSON: {error}") from error
    return values


def refuse_other_tokens(path: Path, chosen: Tokenizer, own: Tokenizer | None) -> None:
    """Raise ModelCheckError where an id is one token to a model and another here."""
    if own is None:
        return
    theirs = {number: token for token, number in _tokens(chosen).items()}
    for token, number in _tokens(own).items():
        if theirs.get(number, token) != token:
            what = f"token {number} is {theirs[number]!r}, and {token!r} to the model"
            raise ModelCheckError(path, f"another model's tokenizer: {what}")


def _tokens(tokenizer: Tokenizer) -> Mapping[str, int]:
    found: Mapping[str, int] = loaded_program(tokenizer).get_vocab()
    return found
