"""Whose tokens a model is trained with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from aprhub.detect import identify
from aprhub.errors import CorruptFileError, ModelCheckError, about
from aprhub.ir.tokenizer import Tokenizer
from aprhub.registry import Registry
from aprhub.tokenizer.added import completed_program
from aprhub.tokenizer.describing import described
from aprhub.tokenizer.parity import loaded_program

PROGRAM: Final = "tokenizer.json"
SETTINGS: Final = "tokenizer_config.json"

USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "bos": ("<s>", "<|begin_of_text|>"),
    "eos": ("</s>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>"),
}
"""What tokens that begin and end a text are called; an end of a text goes before one
of a turn. `<|im_start|>` is none of them: it begins a turn."""


def read_tokenizer(path: Path, registry: Registry) -> Tokenizer:
    """Return the tokenizer of a model, or of a folder with a `tokenizer.json`.

    Raises InputError for what cannot be read, ModelCheckError for a model without.
    """
    folder = path.parent if path.name == PROGRAM else path
    with about(path):
        if (folder / PROGRAM).is_file():
            settings = _settings(folder / SETTINGS)
            data = (folder / PROGRAM).read_bytes()
            program, _notes = completed_program(data, settings, None)
            return described(program, settings, *(None, None, None))
        tokenizer = identify(path, registry).opened(path).tokenizer
    if tokenizer is None:
        what = "it has no tokenizer; give it one with 'aprhub stamp --tokenizer'"
        raise ModelCheckError(path, what)
    return tokenizer


def _settings(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        values: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        repair = "correct it there, or get the file again"
        raise CorruptFileError(path, f"not JSON: {error}", repair=repair) from error
    return values


def marked(tokenizer: Tokenizer) -> tuple[Tokenizer, tuple[str, ...]]:
    """Return a tokenizer with the BOS and EOS that their names give away, and notes.

    Only where no file of it says what its EOS is, and of special tokens only.
    """
    if "eos" in tokenizer.special_ids:
        return tokenizer, ()
    added = loaded_program(tokenizer).get_added_tokens_decoder().items()
    ids = {token.content: number for number, token in added if token.special}
    found = {
        role: name
        for role, usual in USUAL.items()
        if (name := next(filter(ids.__contains__, usual), None))
    }
    known = {role: ids[name] for role, name in found.items()}
    notes = (
        f"{name} is taken for the {role.upper()}: no file says which token it is"
        for role, name in found.items()
    )
    special_ids = {**known, **tokenizer.special_ids}
    return evolve(tokenizer, special_ids=special_ids), tuple(notes)


def refuse_other_tokens(path: Path, chosen: Tokenizer, own: Tokenizer | None) -> None:
    """Raise ModelCheckError where an id is one token to a model and another here."""
    if own is None:
        return
    theirs = {number: token for token, number in _tokens(chosen).items()}
    for token, number in _tokens(own).items():
        if theirs.get(number, token) != token:
            raise ModelCheckError(
                path,
                f"another model's tokenizer: token {number} is {theirs[number]!r}, and"
                f" {token!r} to the model; leave --tokenizer out to take its own",
            )


def _tokens(tokenizer: Tokenizer) -> Mapping[str, int]:
    found: Mapping[str, int] = loaded_program(tokenizer).get_vocab()
    return found
