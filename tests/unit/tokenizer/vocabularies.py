"""Tokenizers in GGUF files, read by hand and written with the `gguf` package."""

import struct
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np

from aprhub.api import FlatVocabulary, Tokenizer

_PREFIX: Final = "tokenizer.ggml."
_ROLES: Final = {
    "bos": "bos",
    "eos": "eos",
    "unk": "unknown",
    "sep": "seperator",
    "pad": "padding",
    "cls": "cls",
    "mask": "mask",
}
_CODES: Final = "BbHhIif?__Qqd"
"""The struct code of each type of value; two are read in other ways."""
_SEPARATOR: Final = "\n__ggml_vocab_test__\n"


def read(path: Path) -> Tokenizer:
    """Return the tokenizer of a GGUF file, in its flat form only."""
    values = _Cursor(path.read_bytes()).metadata()

    def value(key: str) -> Any:
        return values.get(_PREFIX + key)

    def array(key: str, dtype: type[np.generic]) -> Any:
        found = value(key)
        return None if found is None else np.array(found, dtype)

    flat = FlatVocabulary(
        value("model"),
        value("tokens"),
        value("pre"),
        array("scores", np.float32),
        array("token_type", np.int32),
        value("merges"),
    )
    ids = {role: value(f"{name}_token_id") for role, name in _ROLES.items()}
    return Tokenizer(
        flat,
        special_ids={
            role: number for role, number in ids.items() if number is not None
        },
        add_bos=value("add_bos_token"),
        add_eos=value("add_eos_token"),
        add_space_prefix=value("add_space_prefix"),
    )


class _Cursor:
    """The metadata of a GGUF file; the `gguf` package takes half a minute for it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = len(b"GGUF") + 4

    def metadata(self) -> dict[str, Any]:
        """Return all values by key."""
        _tensors, count = self._number("Q"), self._number("Q")
        return {self._text(): self._value(self._number("I")) for _ in range(count)}

    def _number(self, code: str) -> Any:
        [value] = struct.unpack_from(f"<{code}", self._data, self._place)
        self._place += struct.calcsize(code)
        return value

    def _text(self) -> str:
        size = self._number("Q")
        self._place += size
        return self._data[self._place - size : self._place].decode()

    def _value(self, kind: int) -> Any:
        if kind == gguf.GGUFValueType.STRING:
            return self._text()
        if kind != gguf.GGUFValueType.ARRAY:
            return self._number(_CODES[kind])
        inner, count = self._number("I"), self._number("Q")
        if inner == gguf.GGUFValueType.STRING:
            return [self._text() for _ in range(count)]
        start, self._place = (
            self._place,
            self._place + count * struct.calcsize(_CODES[inner]),
        )
        return np.frombuffer(self._data, _CODES[inner], count, start)


def write(tokenizer: Tokenizer, path: Path) -> Path:
    """Write a GGUF file with nothing but a flat vocabulary."""
    flat = tokenizer.flat
    assert flat is not None
    assert flat.types is not None
    writer = gguf.GGUFWriter(path, "llama")
    for add in (writer.add_context_length, writer.add_embedding_length):
        add(64)
    for add in (writer.add_block_count, writer.add_head_count):
        add(1)
    writer.add_feed_forward_length(64)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(flat.model)
    writer.add_tokenizer_pre(flat.pre or "default")
    writer.add_token_list(list(flat.tokens))
    writer.add_token_types(flat.types.tolist())
    if flat.scores is not None:
        writer.add_token_scores(flat.scores.tolist())
    if flat.merges is not None:
        writer.add_token_merges(list(flat.merges))
    for role, number in tokenizer.special_ids.items():
        if _ROLES.get(role) and role != "cls":
            writer.add_uint32(f"{_PREFIX}{_ROLES[role]}_token_id", number)
    writer.add_add_bos_token(bool(tokenizer.add_bos))
    writer.add_add_eos_token(bool(tokenizer.add_eos))
    writer.add_add_space_prefix(bool(tokenizer.add_space_prefix))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def vectors(path: Path) -> list[tuple[str, list[int]]]:
    """Return the texts beside a vocabulary with the ids that are expected of them."""
    texts = path.with_name(path.name + ".inp").read_bytes().decode().split(_SEPARATOR)
    lines = path.with_name(path.name + ".out").read_text().splitlines()
    return [
        (text, [int(number) for number in line.split()])
        for text, line in zip(texts, lines, strict=False)
    ]
