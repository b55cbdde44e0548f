import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aprhub.api import CorruptFileError, Tokenizer
from aprhub.errors import UnsupportedFileError
from aprhub.tokenizer import assembled, read_sentencepiece, token_ids

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE, WORD = 1, 2, 3


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _piece(text: str, score: float, kind: int = NORMAL) -> bytes:
    score_field = _varint(2 << 3 | 5) + struct.pack("<f", score)
    return _bytes(1, _bytes(1, text.encode()) + score_field + _number(3, kind))


PIECES = (
    _piece("<unk>", 0, UNKNOWN),
    _piece("<s>", 0, CONTROL),
    _piece("</s>", 0, CONTROL),
    _piece("<0x0A>", 0, BYTE),
    _piece("▁a", -1),
    _piece("▁ab", -2),
    _piece("▁", -3),
    _piece("a", -4),
    _piece("b", -5),
)


def _model(*fields: bytes, kind: int = BPE, pieces: Iterable[bytes] = PIECES) -> bytes:
    training = _bytes(2, _number(3, kind) + b"".join(fields))
    return b"".join(pieces) + training


def test_pieces_become_tokens_with_scores_and_types() -> None:
    flat = read_sentencepiece(_model()).flat

    assert flat is not None
    assert flat.model == "llama"
    assert list(flat.tokens[:5]) == ["<unk>", "<s>", "</s>", "<0x0A>", "▁a"]
    assert flat.scores is not None
    assert flat.scores.tolist() == [0, 0, 0, 0, -1, -2, -3, -4, -5]
    assert flat.types is not None
    assert flat.types.tolist()[:5] == [UNKNOWN, CONTROL, CONTROL, BYTE, NORMAL]


def test_a_tokenizer_can_be_built_from_it() -> None:
    tokenizer = assembled(read_sentencepiece(_model()))
    assert token_ids(tokenizer, ["ab a\n"]) == [[1, 5, 4, 3]]


def test_roles_have_their_usual_ids_unless_the_model_says_otherwise() -> None:
    plain = read_sentencepiece(_model())
    special = read_sentencepiece(_model(_number(43, 3), _number(41, -1)))

    assert plain.special_ids == {"unk": 0, "bos": 1, "eos": 2}
    assert special.special_ids == {"unk": 0, "eos": 2, "pad": 3}


def test_the_normaliser_is_read() -> None:
    rules = _bytes(2, b"map") + _number(3, 0) + _number(4, 0)

    tokenizer = read_sentencepiece(_model() + _bytes(3, rules))

    assert tokenizer.flat is not None
    assert tokenizer.flat.charsmap == b"map"
    assert tokenizer.flat.remove_extra_spaces is False
    assert tokenizer.add_space_prefix is False


def test_a_unigram_model_puts_an_eos_behind() -> None:
    tokenizer = read_sentencepiece(_model(kind=UNIGRAM))

    assert tokenizer.flat is not None
    assert tokenizer.flat.model == "t5"
    assert (tokenizer.add_bos, tokenizer.add_eos) == (False, True)


@pytest.mark.parametrize("data", [_model(kind=WORD), _model(_number(24, 1))])
def test_a_model_of_another_kind_is_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedFileError, match="BPE or Unigram"):
        read_sentencepiece(data)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "at byte 0: no pieces"),
        (_bytes(9, b"x"), "no pieces"),
        (b"\x80" * 20, "at byte 0: a number of more than 10 bytes"),
        (b"\x0b", "at byte 1: a field of layout 3, expected"),
        (b"\x0a\x05abc", "at byte 2: a value of 5 bytes, but 3 are left"),
        (b"\x0a" + _varint(1 << 62), "but 0 are left"),
        (_bytes(1, _number(1, 3)), "at byte 2: a piece without a text"),
        (_bytes(1, _bytes(1, b"\xff")), "is not UTF-8"),
        (_bytes(1, _number(3, 9)), "a piece of type 9, expected 1 to 6"),
        (PIECES[0] + _bytes(1, b"\x0b"), r"at byte 19: a field of layout"),
    ],
)
def test_what_is_no_model_is_refused_at_its_byte(data: bytes, complaint: str) -> None:
    with pytest.raises(CorruptFileError, match=complaint):
        read_sentencepiece(data)


@given(st.binary(max_size=40), st.integers(0, 80))
def test_any_bytes_give_a_tokenizer_or_one_of_our_errors(
    junk: bytes, place: int
) -> None:
    whole = _model()
    try:
        tokenizer = read_sentencepiece(whole[:place] + junk + whole[place:])
    except (CorruptFileError, UnsupportedFileError):
        return
    assert isinstance(tokenizer, Tokenizer)
