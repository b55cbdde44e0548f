"""The tokenizer of a model, from whichever of its files there are."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aprhub.api import (
    CorruptFileError,
    Tokenizer,
    UnsupportedFileError,
    completed_program,
    described,
    described_pieces,
    joined_files,
    read_sentencepiece,
)
from aprhub_safetensors.companions import Companions
from aprhub_safetensors.tables import (
    CHAT_TEMPLATE,
    CONFIG,
    GENERATION,
    MERGES,
    SPECIAL_TOKENS,
    TOKENIZER_CONFIG,
    VOCABULARY,
)


def read_tokenizer(companions: Companions) -> tuple[Tokenizer | None, tuple[str, ...]]:
    """Return the tokenizer, and notes: of a kind that is not read, it is None.

    `tokenizer.json` goes before `tokenizer.model`, and that before `vocab.json` with
    `merges.txt`. Raises CorruptFileError where a file contradicts itself.
    """
    read = _reader(companions)
    if read is None:
        return None, ()
    settings, special, config, generation = (
        _values(companions, name)
        for name in (TOKENIZER_CONFIG, SPECIAL_TOKENS, CONFIG, GENERATION)
    )
    template = companions.texts.get(CHAT_TEMPLATE)
    if template is not None:
        settings = {**settings, "chat_template": template}
    try:
        return read(settings, special, config, generation)
    except UnsupportedFileError as error:
        return None, (f"the tokenizer is not read: {error}",)
    except CorruptFileError as error:
        raise _placed(companions, error) from error


_Values = Mapping[str, Any]
_Read = tuple[Tokenizer, tuple[str, ...]]
_Reader = Callable[[_Values, _Values, _Values, _Values], _Read]


def _reader(companions: Companions) -> _Reader | None:
    """Return what reads the tokenizer, given what the other files say."""
    texts, pieces = companions.texts, companions.pieces
    if companions.program is not None:
        return partial(_described, companions.program)
    if pieces is not None:
        return lambda *rest: (described_pieces(read_sentencepiece(pieces), *rest), ())
    if VOCABULARY in texts and MERGES in texts:
        vocabulary, merges = texts[VOCABULARY], texts[MERGES]
        return lambda settings, *rest: _described(
            joined_files(vocabulary, merges, settings), settings, *rest
        )
    return None


def _described(
    program: bytes,
    settings: _Values,
    special: _Values,
    config: _Values,
    generation: _Values,
) -> _Read:
    program, notes = completed_program(program, settings, config)
    return described(program, settings, special, config, generation), notes


def _values(companions: Companions, name: str) -> _Values:
    document = companions.document(name)
    return document.values if document else {}


def _placed(companions: Companions, error: CorruptFileError) -> CorruptFileError:
    """Return an error with the place of the file that it names."""
    said = str(error).removeprefix(f"{error.path}: ")
    what = said.removesuffix(f"; {error.repair}")
    path = companions.home / ("" if companions.embedded else error.path)
    return CorruptFileError(path, what, repair=error.repair)
