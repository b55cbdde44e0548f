"""A long string of the metadata stays in the file, and is the same text."""

from pathlib import Path

import pytest
from gguf import GGUFReader

from aprhub.api import (
    Complaints,
    CorruptFileError,
    FileRange,
    Setting,
    Stamp,
    Tokenizer,
)
from aprhub_gguf.parts import read_parts
from aprhub_gguf.restating import metadata, restate
from aprhub_gguf.values import FileText
from tests.plugins.gguf.disk import opened, rendered, reopened, written
from tests.plugins.gguf.models import VOCABULARY, model
from tests.plugins.gguf.raw import LLAMA, STRING, Entry, File, entry

PROGRAM = "tokenizer.huggingface.json"
TEXT = f"a{'é' * 600_000}" + "\n".join(f'{{"é{n}": "🦙"}}' for n in range(9_000))
"""Of more than a MiB, with a character that a piece of a MiB cuts."""


def _file(path: Path, *more: Entry) -> Path:
    return File((*LLAMA, *more)).write(path)


def test_a_long_program_goes_there_and_back(tmp_path: Path) -> None:
    tokenizer = Tokenizer(flat=VOCABULARY, json=TEXT)

    found = reopened(model(tokenizer=tokenizer), tmp_path)

    assert found.tokenizer is not None
    assert found.tokenizer.json == TEXT
    (path,) = written(found, tmp_path / "b.gguf")
    assert opened(path).tokenizer == found.tokenizer
    field = GGUFReader(path).fields[PROGRAM]
    assert bytes(field.parts[-1]).decode() == TEXT


def test_a_long_text_that_nobody_knows_is_carried(tmp_path: Path) -> None:
    found = opened(_file(tmp_path / "a.gguf", entry("acme.text", STRING, TEXT)))
    assert found.carried["gguf"]["acme.text"] == {"type": "string", "value": TEXT}
    # Other formats write it as JSON.
    assert type(found.carried["gguf"]["acme.text"]["value"]) is str


def test_a_long_text_is_not_kept(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.gguf", entry(PROGRAM, STRING, TEXT))
    (part,) = read_parts(path, Complaints())
    assert isinstance(part.entries[PROGRAM].value, FileText)


def test_a_stamp_leaves_a_long_text_as_it_is(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.gguf", entry("acme.text", STRING, TEXT))
    stamp = Stamp(settings={"acme.more": Setting("x")})

    after = restate(path, stamp, tmp_path / "b.gguf")

    assert metadata(path)["acme.text"]["value"] == TEXT
    assert after.keys["acme.text"] == metadata(path)["acme.text"]
    (tmp_path / "b.gguf").write_bytes(rendered(after.layout.files[0]))
    assert metadata(tmp_path / "b.gguf").keys() - metadata(path).keys() == {"acme.more"}
    assert metadata(tmp_path / "b.gguf")["acme.text"]["value"] == TEXT


def test_a_long_text_of_another_kind_is_shown_in_part(tmp_path: Path) -> None:
    odd = entry("llama.embedding_length", STRING, TEXT)
    kept = [each for each in LLAMA if each[0] != odd[0]]
    path = File((*kept, odd)).write(tmp_path / "a.gguf")
    with pytest.raises(CorruptFileError, match="found string 'aééé") as caught:
        opened(path)
    assert len(str(caught.value)) < 1000


def test_bytes_that_are_no_text_are_refused_with_their_place(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.gguf", entry(PROGRAM, STRING, TEXT))
    data = bytearray(path.read_bytes())
    place = data.index("🦙".encode(), len(data) - 100)
    data[place + 1] = ord("x")
    path.write_bytes(data)

    with pytest.raises(CorruptFileError, match="0xf0 is not part of UTF-8") as caught:
        opened(path)

    assert (caught.value.where, caught.value.offset) == (PROGRAM, place)


def test_a_text_that_changed_behind_our_back_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"abc\xff")
    text = FileText(FileRange(path, 0, 4), "acme.text")
    with pytest.raises(CorruptFileError, match="changed after it had been opened"):
        str(text)


def test_long_texts_are_equal_as_texts_are(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"abcabd")
    one, same, other = (FileText(FileRange(path, n, 2), "x") for n in (0, 3, 1))
    assert one == same == "ab"
    assert len({one, same, "ab"}) == 1
    assert one != other
    assert one != b"ab"
    assert f"{one!r:.3}" == "'ab"
