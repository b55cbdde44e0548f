"""`aprhub corpus`: what is prepared, and what is said of it."""

import json
from pathlib import Path

import pytest
from attrs import evolve

from aprhub import save_model
from tests.unit.cli.conftest import Models
from tests.unit.cli.program import refused, run, succeed

TEXTS = [f"Document {number} says hello world." for number in range(200)]
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps({"text": each}) + "\n" for each in TEXTS))
    return path


@pytest.fixture(scope="session")
def chatting(models: Models) -> Path:
    """Return a model with a chat template that asks for answers."""
    model = models.pico("llama")
    assert model.tokenizer is not None
    path = models.folder / "chatting.apr"
    tokenizer = evolve(model.tokenizer, chat_template=TEMPLATE)
    save_model(evolve(model, tokenizer=tokenizer), path, registry=models.registry)
    return path


def words(data: Path, model: Path, *more: object) -> list[object]:
    cache = data.parent / "cache"
    fixed = ["--tokenizer", model, "--seq-len", 16, "--cache", cache]
    return ["corpus", data, *fixed, *more]


def test_each_part_is_told_with_what_is_in_it(data: Path, gguf: Path) -> None:
    done = succeed(*words(data, gguf, "--validation-fraction", 0.2))

    header, train, validation, last = (row.split() for row in done.out.splitlines())
    assert header == ["part", "documents", "tokens", "sequences"]
    counts = [[int(number) for number in row[1:]] for row in (train, validation)]
    assert counts[0][0] + counts[1][0] == 200
    assert [tokens for _, tokens, _ in counts] == [
        int((Path(last[2]) / f"{part}.bin").stat().st_size / 2)
        for part in ("train", "validation")
    ]
    assert [(tokens - 1) // 16 for _, tokens, _ in counts] == [n for *_, n in counts]


def test_a_model_gives_the_same_corpus_in_any_format(
    data: Path, gguf: Path, apr: Path, folder: Path
) -> None:
    found = [succeed(*words(data, each, "--json")).json for each in (gguf, apr, folder)]

    assert len({each["fingerprint"] for each in found}) == 1
    assert sorted(found[0]) == [
        *("cut", "dropped", "fingerprint", "folder", "parts", "schema"),
    ]


def test_conversations_are_counted_and_those_too_long_told(
    tmp_path: Path, chatting: Path
) -> None:
    path = tmp_path / "chats.jsonl"
    pairs = [{"prompt": f"{n}", "completion": "yes" * n**3} for n in range(1, 4)]
    path.write_text("".join(json.dumps(each) + "\n" for each in pairs))
    more = ["--chats", "--validation-fraction", 0, "--seq-len", 48]

    dropped = succeed(*words(path, chatting, *more))
    cut = succeed(*words(path, chatting, *more, "--too-long", "cut", "--json")).json

    assert "conversations that are too long: 0 cut, 1 dropped" in dropped.out
    assert (cut["cut"], cut["dropped"]) == (1, 0)
    assert cut["parts"][0] == {
        "part": "train",
        "documents": 3,
        "tokens": 3 * 49,
        "sequences": 3,
    }


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--chats", "--text-key", "body"], "--text-key belongs to text"),
        (["--chats", "--separator", "<s>"], "--separator belongs to text"),
        (["--packed"], "--packed belongs to --chats"),
        (["--too-long", "cut"], "--too-long belongs to --chats"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    data: Path, gguf: Path, options: list[str], what: str
) -> None:
    done = run(*words(data, gguf, *options))

    assert (done.code, done.out) == (2, "")
    assert what in done.err


def test_broken_data_is_named_by_file_and_line(data: Path, gguf: Path) -> None:
    with data.open("a") as file:
        file.write("{broken\n")

    assert f"{data}: line 201: no JSON" in refused(3, *words(data, gguf))
