"""JSON texts in which a value at a random place is replaced by a strange one."""

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve

from tests.hostile import apr_file, model_folder, tiny
from tests.hostile.case import Expected, odd
from tests.hostile.program import Outcome, run
from tests.hostile.trial import complaints

ROUNDS: Final = 100
STRANGE: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, -1.5, 1e308),
    *("", "x", "\0", "\ud800", "\x1b[31m", "x" * 5000, "../x", "1", "[]"),
    *(
        [],
        [[]],
        {},
        [None],
        {"": None},
        {"type": "x"},
        [1, "a", None],
        {"x": {"x": {}}},
    ),
    *(float("nan"), float("inf")),
)
CASE: Final = odd("a strange value", model_folder.valid(), "")


def _containers(value: Any) -> Iterator[Any]:
    """Yield the lists and objects in a value that are not empty, itself first."""
    if isinstance(value, dict | list) and value:
        yield value
        inner = value.values() if isinstance(value, dict) else value
        for each in inner:
            yield from _containers(each)


def _substituted(chance: random.Random, value: Any) -> Any:
    """Return a value with one thing in it replaced, or a key more."""
    changed = deepcopy(value)
    place = chance.choice(list(_containers(changed)))
    keys = list(place) if isinstance(place, dict) else range(len(place))
    place[chance.choice(list(keys))] = chance.choice(STRANGE)
    return changed


def _answers(make: Callable[[Path, int], Path], folder: Path) -> list[str]:
    """Return what is wrong with the answers to `ROUNDS` files."""
    found = []
    for number in range(ROUNDS):
        source = folder / str(number)
        source.mkdir()
        path = make(source, number)
        for outcome in _outcomes(path, source):
            wrong = complaints(outcome, CASE, Expected.EITHER)
            found += [f"{number}: {each}" for each in wrong]
    return found


def _outcomes(path: Path, folder: Path) -> Iterator[Outcome]:
    yield run("inspect", path)
    yield run("convert", path, folder / "out.gguf")


SCALING: Final = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
TEXTS: Final[dict[str, Any]] = {
    "config.json": {**tiny.CONFIG, "rope_scaling": SCALING},
    "tokenizer.json": tiny.TOKENIZER,
    "tokenizer_config.json": {**tiny.TOKENIZER_CONFIG, "chat_template": "{{ x }}"},
    "generation_config.json": {"bos_token_id": 0, "eos_token_id": [1], "top_p": 0.9},
    "special_tokens_map.json": {"bos_token": {"content": tiny.SPECIAL[0]}},
}


def test_what_is_substituted_is_valid_to_begin_with(workplace: Path) -> None:
    folder = model_folder.valid()
    for name, text in TEXTS.items():
        folder = folder.with_json(name, text)

    outcome = run("convert", folder.write(workplace), workplace / "out.gguf")

    assert outcome.code == 0, outcome.output


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize("name", TEXTS)
def test_a_strange_value_in_a_text_of_a_folder_is_answered_in_order(
    workplace: Path, name: str
) -> None:
    chance = random.Random(name)

    def make(folder: Path, _number: int) -> Path:
        text = _substituted(chance, TEXTS[name])
        return model_folder.valid().with_json(name, text).write(folder)

    assert _answers(make, workplace) == []


@pytest.mark.usefixtures("bounded_memory")
def test_a_strange_value_in_the_metadata_of_apr_is_answered_in_order(
    workplace: Path,
) -> None:
    chance, base = random.Random("apr"), apr_file.valid()
    table = json.loads(base.metadata)

    def make(folder: Path, _number: int) -> Path:
        text = json.dumps(_substituted(chance, table)).encode()
        return evolve(base, metadata=text).write(folder)

    assert _answers(make, workplace) == []
