"""Valid files damaged at random: only typed errors come out of the Python API."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

import aprhub
from aprhub.errors import AprhubError
from tests.hostile import apr_file, gguf_file, model_folder, safetensors_file
from tests.hostile.fields import boundaries
from tests.hostile.program import deadline

ROUNDS: Final = 300
TEXT_ROUNDS: Final = 100
SPECIAL: Final = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**60, 2**63 - 1, 2**63, 2**64 - 1)

Damage = Callable[[random.Random, bytearray, int], None]


def _flip(chance: random.Random, data: bytearray, head: int) -> None:
    for _ in range(chance.randint(1, 4)):
        data[_place(chance, data, head)] ^= 1 << chance.randrange(8)


def _overwrite(chance: random.Random, data: bytearray, head: int) -> None:
    at, width = _place(chance, data, head), chance.choice((1, 2, 4, 8))
    value = chance.choice(SPECIAL) % 2 ** (8 * width)
    data[at : at + width] = value.to_bytes(width, "little")


def _cut(chance: random.Random, data: bytearray, head: int) -> None:
    del data[_place(chance, data, head) :]


def _remove(chance: random.Random, data: bytearray, head: int) -> None:
    at = _place(chance, data, head)
    del data[at : at + chance.randint(1, 64)]


def _insert(chance: random.Random, data: bytearray, head: int) -> None:
    at = _place(chance, data, head)
    data[at:at] = chance.randbytes(chance.randint(1, 64))


def _repeat(chance: random.Random, data: bytearray, head: int) -> None:
    at = _place(chance, data, head)
    data[at:at] = data[at : at + chance.randint(1, 256)]


def _extend(chance: random.Random, data: bytearray, _head: int) -> None:
    data.extend(chance.randbytes(chance.randint(1, 4096)))


DAMAGES: Final[tuple[Damage, ...]] = (
    *(_flip, _flip, _overwrite, _overwrite),
    *(_cut, _remove, _insert, _repeat, _extend),
)


def _place(chance: random.Random, data: bytearray, head: int) -> int:
    """Return a position, three times out of four in front of the data."""
    end = min(head, len(data)) if chance.random() < 0.75 else len(data)
    return chance.randrange(max(end, 1))


@frozen
class Base:
    """A valid file, and where its tensors begin."""

    name: str
    data: bytes
    head: int


def _base(file: gguf_file.GgufFile | apr_file.AprFile) -> Base:
    starts = {label: at for at, label in boundaries(file.fields())}
    return Base(file.file_name, file.tobytes(), starts["data"])


def _opened(path: Path) -> BaseException | None:
    """Return what comes out of opening a model and reading all of it, if unasked."""
    try:
        with deadline():
            model = aprhub.open_model(path)
            for tensor in model.tensors.values():
                tensor.tobytes()
    except AprhubError:
        return None
    except BaseException as error:
        return error
    return None


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize(
    "base",
    [_base(gguf_file.valid()), _base(apr_file.valid())],
    ids=lambda base: base.name,
)
def test_only_typed_errors_come_out_of_a_damaged_file(
    workplace: Path, base: Base
) -> None:
    chance, path = random.Random(base.name), workplace / base.name

    escaped = {}
    for number in range(ROUNDS):
        data, damage = bytearray(base.data), chance.choice(DAMAGES)
        damage(chance, data, base.head)
        path.write_bytes(data)
        escaped[number, damage.__name__] = _opened(path)

    assert {key: error for key, error in escaped.items() if error} == {}


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", model_folder.INDEX]
)
def test_only_typed_errors_come_out_of_a_damaged_folder(
    workplace: Path, name: str
) -> None:
    sharded = name == model_folder.INDEX
    base = model_folder.sharded() if sharded else model_folder.valid()
    chance, folder = random.Random(name), base.write(workplace)
    head = len(safetensors_file.valid().text()) + 8

    escaped = {}
    for number in range(TEXT_ROUNDS):
        data, damage = bytearray(base.files[name]), chance.choice(DAMAGES)
        damage(chance, data, head)
        (folder / name).write_bytes(data)
        escaped[number, damage.__name__] = _opened(folder)

    assert {key: error for key, error in escaped.items() if error} == {}
