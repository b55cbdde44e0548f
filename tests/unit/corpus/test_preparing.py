"""From files to shards: what is read, how it is cut, split and kept."""

import os
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from aprhub.api import (
    CorruptFileError,
    EnvironmentFailureError,
    InputError,
    MissingFileError,
    ModelCheckError,
    UnsupportedFileError,
    UsageError,
)
from aprhub.corpus import Corpus, CorpusOptions, prepared
from aprhub.corpus.passages import SIZE, passages
from tests.judges import corpus as strings
from tests.unit.corpus.texts import END, PICO, judge, lines, real, stored, texts

MANY = [f"Document {number} says hello world." for number in range(200)]


def corpus(folder: Path, *sources: Path, **options: object) -> Corpus:
    """Prepare without a validation part, unless one is asked for."""
    asked = {"validation_fraction": 0.0, "cache": folder / "cache", **options}
    return prepared(sources, PICO, CorpusOptions(8, **asked))  # type: ignore[arg-type]


@settings(max_examples=40)
@given(documents=st.lists(st.text(min_size=1), min_size=1))
def test_shards_decoded_are_the_documents(
    documents: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    filled = [*documents, "a text that fills a sequence"]

    found = corpus(folder, texts(folder / "some.jsonl", filled))

    assert stored(found) == filled


@settings(max_examples=60)
@given(data=st.text("ab é€😀\n\r", max_size=200), times=st.integers(1, 300))
def test_passages_put_together_are_the_text(
    data: str, times: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("text") / "some.txt"
    path.write_bytes((data * times).encode())

    found = list(passages(path))

    assert "".join(found) == data * times
    assert all(0 < len(each.encode()) <= SIZE for each in found)


def test_a_long_text_is_cut_after_empty_lines(tmp_path: Path) -> None:
    paragraphs = [f"{number} {'word ' * 100}\n\n" for number in range(60)]
    (tmp_path / "book.txt").write_text("".join(paragraphs), "utf-8")

    found = list(passages(tmp_path / "book.txt"))

    assert len(found) > 3
    assert all(each.endswith("\n\n") for each in found)


@pytest.mark.parametrize("size", range(4))
def test_a_text_without_any_border_is_cut_between_characters(
    tmp_path: Path, size: int
) -> None:
    text = "x" * size + "😀" * SIZE
    (tmp_path / "some.txt").write_text(text, "utf-8")

    assert "".join(passages(tmp_path / "some.txt")) == text


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_bytes(b"\xef\xbb\xbftext that is long enough")

    assert stored(corpus(tmp_path, tmp_path / "some.txt")) == [
        "text that is long enough"
    ]


def test_every_kind_of_file_gives_the_same_tokens(tmp_path: Path) -> None:
    table = pyarrow.table({"body": MANY, "number": range(len(MANY))})
    pyarrow.parquet.write_table(table, tmp_path / "some.parquet", row_group_size=7)
    records = texts(tmp_path / "some.jsonl", MANY, "body")
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, text in enumerate(MANY):
        (folder / f"{number:03}.txt").write_text(text, "utf-8")

    sources = (tmp_path / "some.parquet", records, folder)
    prints = {corpus(tmp_path, each, text_key="body").fingerprint for each in sources}

    assert len(prints) == 1


def test_a_folder_is_read_by_name_and_its_hidden_files_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / ".git").mkdir(parents=True)
    (folder / "inner").mkdir()
    for name in ("b.txt", "inner/a.md", "a.txt"):
        (folder / name).write_text(f"this is {name}", "utf-8")
    for name in (".hidden.txt", ".git/config"):
        (folder / name).write_text("no data", "utf-8")

    found = corpus(tmp_path, folder)

    assert stored(found) == ["this is a.txt", "this is b.txt", "this is inner/a.md"]


def test_equal_documents_are_in_one_part_and_the_seed_decides(tmp_path: Path) -> None:
    source = texts(tmp_path / "some.jsonl", MANY * 2)

    found = corpus(tmp_path, source, validation_fraction=0.3)
    other = corpus(tmp_path, source, validation_fraction=0.3, seed=1)

    train, validation = stored(found), stored(found, "validation")
    assert not {*train} & {*validation}
    assert sorted([*train, *validation]) == sorted(MANY * 2)
    assert 60 < len(validation) < 180
    assert stored(other, "validation") != validation


def test_a_document_stays_in_its_part_when_others_come(tmp_path: Path) -> None:
    fewer = texts(tmp_path / "fewer.jsonl", MANY[:100])
    more = texts(tmp_path / "more.jsonl", MANY[::-1])

    before = corpus(tmp_path, fewer, validation_fraction=0.3)
    after = corpus(tmp_path, more, validation_fraction=0.3)

    assert {*stored(before, "validation")} <= {*stored(after, "validation")}
    assert {*stored(before)} <= {*stored(after)}


def test_a_bos_goes_in_front_of_a_document_where_the_model_wants_one(
    tmp_path: Path,
) -> None:
    source = texts(tmp_path / "some.jsonl", ["hello world"])
    options = CorpusOptions(1, validation_fraction=0, cache=tmp_path / "cache")

    found = prepared([source], evolve(PICO, add_bos=True), options)

    assert found.train.tokens[0] == PICO.special_ids["bos"]
    assert np.array_equal(
        found.train.tokens[1:], prepared([source], PICO, options).train.tokens
    )


@pytest.mark.parametrize("name", ["gemma3", "llama3_1", "qwen3"])
def test_ids_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    documents = [*filter(None, strings.STRINGS)]
    source = texts(tmp_path / "some.jsonl", documents)
    options = CorpusOptions(8, validation_fraction=0, cache=tmp_path / "cache")

    found = prepared([source], real(name), options)

    tokenizer = judge(name)
    ids = tokenizer(documents, split_special_tokens=True, add_special_tokens=False)
    ends = real(name).special_ids
    front = [ends["bos"]] if tokenizer("").input_ids else []
    wanted = [[*front, *each, ends["eos"]] for each in ids["input_ids"]]
    assert found.train.tokens.tolist() == [n for each in wanted for n in each]


def test_what_looks_like_a_special_token_is_text(tmp_path: Path) -> None:
    source = texts(tmp_path / "some.jsonl", ["an <|end|> in the middle"])

    found = corpus(tmp_path, source)

    assert np.count_nonzero(found.train.tokens == END) == 1


def test_another_separator_can_be_named(tmp_path: Path) -> None:
    source = texts(tmp_path / "some.jsonl", ["a text that is long enough"])

    found = corpus(tmp_path, source, separator="<|begin|>")

    assert found.train.tokens[-1] == PICO.special_ids["bos"]


def test_ids_take_two_bytes_where_they_fit(tmp_path: Path) -> None:
    found = corpus(tmp_path, texts(tmp_path / "some.jsonl", MANY))

    size = (found.folder / "train.bin").stat().st_size
    assert size == 2 * found.manifest.parts["train"].tokens


def test_the_same_corpus_is_tokenised_once(tmp_path: Path) -> None:
    source = texts(tmp_path / "some.jsonl", MANY)
    first = corpus(tmp_path, source)
    before = (first.folder / "train.bin").stat()

    again = corpus(tmp_path, source)

    assert (again.folder / "train.bin").stat() == before
    assert again.manifest == first.manifest


@pytest.mark.parametrize("name", ["train.bin", "corpus.json"])
def test_damaged_shards_are_made_anew(tmp_path: Path, name: str) -> None:
    source = texts(tmp_path / "some.jsonl", MANY)
    first = corpus(tmp_path, source)
    whole = (first.folder / name).read_bytes()
    (first.folder / name).write_bytes(whole[:-1])

    again = corpus(tmp_path, source)

    assert again.folder == first.folder
    assert (again.folder / name).read_bytes() == whole


def test_a_corpus_that_is_there_can_be_used_where_nothing_may_be_written(
    tmp_path: Path,
) -> None:
    source = texts(tmp_path / "some.jsonl", MANY)
    first = corpus(tmp_path, source)
    for lock in first.folder.parent.glob(".*.lock"):
        lock.unlink()
        lock.mkdir()

    assert corpus(tmp_path, source).fingerprint == first.fingerprint


def test_a_changed_file_is_another_corpus(tmp_path: Path) -> None:
    source = texts(tmp_path / "some.jsonl", MANY)
    first = corpus(tmp_path, source)
    os.utime(source, ns=(0, 0))
    touched = corpus(tmp_path, source)
    texts(source, [*MANY[:-1], MANY[-1].upper()])
    os.utime(source, ns=(0, 0))
    changed = corpus(tmp_path, source)

    assert len({first.folder, touched.folder, changed.folder}) == 3
    assert first.fingerprint == touched.fingerprint != changed.fingerprint


def test_another_key_or_tokenizer_is_another_corpus(tmp_path: Path) -> None:
    source = lines(
        tmp_path / "some.jsonl",
        ({"text": each, "other": each.upper()} for each in MANY),
    )
    first = corpus(tmp_path, source)
    options = CorpusOptions(8, validation_fraction=0, cache=tmp_path / "cache")

    folders = {
        corpus(tmp_path, source, text_key="other").folder,
        corpus(tmp_path, source, seed=1).folder,
        prepared([source], evolve(PICO, add_bos=True), options).folder,
    }

    assert len(folders | {first.folder}) == 4


@pytest.mark.parametrize("blocked", ["cache", "lock"])
def test_a_cache_that_cannot_be_written_is_an_error_of_the_machine(
    tmp_path: Path, blocked: str
) -> None:
    source = texts(tmp_path / "some.jsonl", MANY)
    if blocked == "cache":
        (tmp_path / "cache").write_text("a file", "utf-8")
    else:
        folder = corpus(tmp_path, source).folder
        (folder / "train.bin").unlink()
        lock = folder.with_name(f".{folder.name}.lock")
        lock.unlink()
        lock.mkdir()

    with pytest.raises(EnvironmentFailureError, match=str(tmp_path / "cache")):
        corpus(tmp_path, source)


def refusal(
    kind: type[Exception], folder: Path, *sources: Path, **options: object
) -> str:
    """Return what is said of sources that must be refused; nothing may be kept."""
    with pytest.raises(kind) as caught:
        corpus(folder, *sources, **options)
    kept = (folder / "cache").glob("[!.]*") if kind is CorruptFileError else ()
    assert not [*kept]
    return str(caught.value)


RECORDS = {
    "no JSON": (b'{"text": }', "line 3: no JSON: Expecting value in column 10"),
    "an endless nest": (b"[" * 100_000, "line 3: no JSON that can be read"),
    "a huge number": (b'{"text": %s}' % (b"1" * 5000), "line 3: no JSON that can"),
    "no object": (b"[1]", "line 3: [1] is no JSON object"),
    "no such key": (b'{"body": "x"}', "line 3: no key 'text' (there are: body)"),
    "no text": (b'{"text": 7}', "line 3: 'text' is 7, a text was expected"),
    "half a pair": (b'{"text": "\\ud800"}', "line 3: 'text' has half of a"),
    "no UTF-8": (b'{"text": "\xff"}', "at byte 35: ff is not UTF-8"),
}


@pytest.mark.parametrize(("line", "what"), RECORDS.values(), ids=RECORDS)
def test_a_broken_record_is_named_by_its_line(
    tmp_path: Path, line: bytes, what: str
) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(b'{"text": "hello world"}\n\n' + line + b"\n")

    said = refusal(CorruptFileError, tmp_path, path)

    assert said.startswith(f"{path}: ")
    assert what in said


def test_a_text_that_is_not_utf_8_is_named_with_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"word " * 5000 + b"caf\xe9 " + b"word " * 5000)

    said = refusal(CorruptFileError, tmp_path, path)

    assert f"{path}: at byte 25003: e9 is not UTF-8" in said


def test_a_table_without_the_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"body": MANY}), path)

    assert "no column 'text' (there are: body)" in refusal(
        CorruptFileError, tmp_path, path
    )


@pytest.mark.parametrize("values", [["x", None], [1, 2]], ids=["empty", "numbers"])
def test_a_cell_that_is_no_text_is_named(tmp_path: Path, values: list[object]) -> None:
    path = tmp_path / "some.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": values}), path)

    assert "a text was expected" in refusal(CorruptFileError, tmp_path, path)


def test_a_cell_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    ends, data = np.array([0, 1], np.int32), b"\xff"
    buffers = map(pyarrow.py_buffer, (ends.tobytes(), data))
    column = pyarrow.StringArray.from_buffers(1, *buffers)
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), path)

    assert "can't decode byte 0xff" in refusal(CorruptFileError, tmp_path, path)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    path.write_bytes(b"PAR1 and nothing else")

    assert "no Parquet" in refusal(CorruptFileError, tmp_path, path)


def test_an_unknown_suffix_is_refused_with_those_that_are_read(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<p>text</p>", "utf-8")

    said = refusal(UnsupportedFileError, tmp_path, path)

    assert ".txt, .md, .jsonl, .ndjson, .parquet" in said


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "folder"
    empty.mkdir()

    assert "no such file" in refusal(MissingFileError, tmp_path, tmp_path / "a.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    assert "no such file" in refusal(MissingFileError, tmp_path, tmp_path / "pipe.txt")
    assert "no files in" in refusal(MissingFileError, tmp_path, empty)


def test_a_corpus_without_text_is_refused(tmp_path: Path) -> None:
    path = texts(tmp_path / "some.jsonl", ["", ""])

    assert "there is no text in it" in refusal(InputError, tmp_path, path)


def test_a_corpus_shorter_than_a_sequence_is_refused(tmp_path: Path) -> None:
    path = texts(tmp_path / "some.jsonl", ["hi"])

    said = refusal(InputError, tmp_path, path)

    assert "3 tokens in 1 documents for train are less than one sequence" in said


def test_a_validation_part_that_is_wanted_and_empty_is_refused(tmp_path: Path) -> None:
    path = texts(tmp_path / "some.jsonl", ["a text that is long enough"])

    said = refusal(InputError, tmp_path, path, validation_fraction=1e-9)

    assert "0 tokens in 0 documents for validation" in said


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    path = texts(tmp_path / "some.jsonl", MANY)

    said = refusal(ModelCheckError, tmp_path, path, vocab_size=END)
    kept = corpus(tmp_path, path, vocab_size=END + 1)

    assert f"token {END} of the text is none of the model's {END}" in said
    assert kept.manifest.largest == END
    # What is kept already is checked as well: other models may share a tokenizer.
    assert said == refusal(ModelCheckError, tmp_path, path, vocab_size=END)


def test_a_model_without_an_end_of_text_or_a_tokenizer_is_refused(
    tmp_path: Path,
) -> None:
    path = texts(tmp_path / "some.jsonl", MANY)
    options = CorpusOptions(8, cache=tmp_path / "cache")

    with pytest.raises(ModelCheckError, match=r"no end of text .* name a separator"):
        prepared([path], evolve(PICO, special_ids={}), options)
    with pytest.raises(ModelCheckError, match="the model has none"):
        prepared([path], None, options)


def test_a_separator_that_is_no_token_is_refused(tmp_path: Path) -> None:
    path = texts(tmp_path / "some.jsonl", MANY)

    assert "no token of" in refusal(UsageError, tmp_path, path, separator="<nothing>")


@pytest.mark.parametrize(
    "options", [{"seq_len": 0}, {"seq_len": 1, "validation_fraction": 1.0}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="give "):
        CorpusOptions(**options)  # type: ignore[arg-type]
