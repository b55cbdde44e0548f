"""The tokenizer in a folder of Hugging Face, whether or not a model is with it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aprhub.errors import (
    CorruptFileError,
    MissingFileError,
    about,
)
from aprhub.files import reading, undecodable
from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer.added import completed_program
from aprhub.tokenizer.describing import described, described_pieces
from aprhub.tokenizer.sentencepiece import read_sentencepiece
from aprhub.tokenizer.special import Config
from aprhub.tokenizer.vocabulary_files import joined_files

PROGRAM: Final = "tokenizer.json"
_PIECES: Final = "tokenizer.model"
_VOCABULARY: Final = "vocab.json"
_MERGES: Final = "merges.txt"
_TEMPLATE: Final = "chat_template.jinja"
_SETTINGS: Final = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "config.json",
    "generation_config.json",
)


def read_folder(folder: Path) -> Tokenizer:
    """Return the tokenizer whose files lie in a folder.

    `tokenizer.json` goes before `tokenizer.model`, and that before `vocab.json` with
    `merges.txt`. Raises MissingFileError where there is none of them,
    CorruptFileError where a file contradicts itself.
    """
    with about(folder):
        return _read(folder)


def _read(folder: Path) -> Tokenizer:
    settings, *others = (_values(folder / name) for name in _SETTINGS)
    if (folder / _TEMPLATE).is_file():
        settings = {**settings, "chat_template": _text(folder / _TEMPLATE)}
    if (folder / PROGRAM).is_file():
        return _described(_utf8(folder / PROGRAM), settings, *others)
    if (folder / _PIECES).is_file():
        pieces = read_sentencepiece(_data(folder / _PIECES))
        return described_pieces(pieces, settings, *others)
    if (folder / _VOCABULARY).is_file() and (folder / _MERGES).is_file():
        parts = _text(folder / _VOCABULARY), _text(folder / _MERGES)
        return _described(joined_files(*parts, settings), settings, *others)
    raise MissingFileError(
        folder,
        f"no tokenizer in it: {PROGRAM}, {_PIECES}, or {_VOCABULARY} with {_MERGES}"
        " expected; name a folder that has one",
    )


def _described(
    program: bytes, settings: Config, special: Config, model: Config, generation: Config
) -> Tokenizer:
    program, _notes = completed_program(program, settings, model)
    return described(program, settings, special, model, generation)


def _data(path: Path) -> bytes:
    with reading(path):
        return path.read_bytes()


def _utf8(path: Path) -> bytes:
    data = _data(path)
    bad = undecodable(data)
    if bad is not None:
        repair = "save it as UTF-8"
        raise CorruptFileError(path, "not UTF-8", offset=bad, repair=repair)
    return data


def _text(path: Path) -> str:
    return _utf8(path).decode()


def _values(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(_text(path))
    except ValueError as error:
        what = f"not JSON: {error}"
        raise CorruptFileError(path, what, repair="correct it there") from error
    if not isinstance(values, dict):
        what = f"{values!r:.80} found, an object expected"
        raise CorruptFileError(path, what, repair="correct it there")
    return values
