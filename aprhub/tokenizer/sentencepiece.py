"""A `tokenizer.model`: the vocabulary that SentencePiece trains and stores.

The file is one message in the wire format of protocol buffers:

    1  pieces, each a message       1 text   2 score, f32   3 type
    2  how it was trained           3 kind of model   24 spaces behind words
                                    40 unk   41 bos   42 eos   43 pad
    3  how text is normalised       2 character map   3 space in front
                                    4 remove superfluous spaces

The codes of the types are those of a flat vocabulary. Source of the numbers:
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from aprhub.errors import UnsupportedFileError
from aprhub.ir.tokenizer import BYTE, NORMAL, FlatVocabulary, Tokenizer
from aprhub.tokenizer.kinds import SENTENCEPIECE, UNIGRAM
from aprhub.tokenizer.wire import Message, Value

_FILE: Final = "tokenizer.model"
_PIECES, _TRAINING, _NORMALISING = 1, 2, 3
_TEXT, _SCORE, _TYPE = 1, 2, 3
_KIND, _SPACES_BEHIND = 3, 24
_CHARSMAP, _SPACE_IN_FRONT, _FEWER_SPACES = 2, 3, 4
_KINDS: Final = {1: UNIGRAM, 2: SENTENCEPIECE}
_ROLES: Final = {"unk": (40, 0), "bos": (41, 1), "eos": (42, 2), "pad": (43, -1)}
"""The field of each special id, and the id where there is no such field."""

Fields = Mapping[int, Value]


def read_sentencepiece(data: bytes) -> Tokenizer:
    """Return the tokenizer of a `tokenizer.model`, as a flat vocabulary.

    Raises CorruptFileError where it is none, and UnsupportedFileError for a model
    of whole words or characters, and for one that puts spaces behind words.
    """
    message = Message(_FILE, memoryview(data))
    parts = list(message.messages())
    pieces = [_piece(part) for number, part in parts if number == _PIECES]
    if not pieces:
        raise message.error(0, "no pieces in it, at least one expected")
    training, normalising = (
        _merged(part for number, part in parts if number == wanted)
        for wanted in (_TRAINING, _NORMALISING)
    )
    kind = _kind(training)
    texts, scores, types = zip(*pieces, strict=True)
    flat = FlatVocabulary(
        kind,
        texts,
        "default",
        np.array(scores, np.float32),
        np.array(types, np.int32),
        charsmap=_bytes(normalising, _CHARSMAP),
        remove_extra_spaces=_number(normalising, _FEWER_SPACES, 1) == 1,
    )
    return Tokenizer(
        flat,
        special_ids=_special_ids(training, len(pieces)),
        add_bos=kind == SENTENCEPIECE,
        add_eos=kind == UNIGRAM,
        add_space_prefix=_number(normalising, _SPACE_IN_FRONT, 1) == 1,
    )


def _kind(training: Fields) -> str:
    code = _number(training, _KIND, 1)
    behind = _number(training, _SPACES_BEHIND, 0)
    if code in _KINDS and not behind:
        return _KINDS[code]
    found = "spaces behind words" if behind else f"a model of kind {code}"
    raise UnsupportedFileError(
        _FILE,
        f"{found} found, BPE or Unigram with spaces in front of words expected; put a"
        " tokenizer.json beside it, which goes before",
    )


def _piece(message: Message) -> tuple[str, float, int]:
    fields = message.fields()
    text, score = fields.get(_TEXT, b""), fields.get(_SCORE, bytes(4))
    if isinstance(text, int) or isinstance(score, int) or len(score) != 4:
        raise message.error(0, "a piece without a text and a score")
    try:
        decoded = str(text, "utf-8")
    except UnicodeDecodeError as error:
        raise message.error(0, f"a piece is not UTF-8: {error.reason}") from error
    kind = _number(fields, _TYPE, NORMAL)
    if not NORMAL <= kind <= BYTE:
        what = f"a piece of type {kind}, expected {NORMAL} to {BYTE}"
        raise message.error(0, what)
    return decoded, struct.unpack("<f", score)[0], kind


def _merged(messages: Iterable[Message]) -> Fields:
    fields: dict[int, Value] = {}
    for message in messages:
        fields |= message.fields()
    return fields


def _number(fields: Fields, key: int, default: int) -> int:
    value = fields.get(key, default)
    return value if isinstance(value, int) else default


def _bytes(fields: Fields, key: int) -> bytes | None:
    value = fields.get(key)
    return bytes(value) if isinstance(value, memoryview) and value else None


def _special_ids(training: Fields, size: int) -> dict[str, int]:
    """Return the special ids; a negative one, huge on the wire, means none."""
    ids = {role: _number(training, *place) for role, place in _ROLES.items()}
    return {role: number for role, number in ids.items() if 0 <= number < size}
