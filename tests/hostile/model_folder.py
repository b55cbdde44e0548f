"""Hugging Face model folders: a table of file names and bytes."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

from attrs import evolve, frozen

from tests.hostile import safetensors_file, tiny

INDEX: Final = "model.safetensors.index.json"
WEIGHTS: Final = "model.safetensors"
SHARDS: Final = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def _untouched(_folder: Path) -> None:
    """Leave a folder as it was written."""


@frozen
class ModelFolder:
    """A folder of files; `after` is called with it when all are written."""

    files: Mapping[str, bytes]
    after: Callable[[Path], None] = _untouched

    def write(self, folder: Path) -> Path:
        """Write the files into a folder of their own."""
        target = folder / "model"
        target.mkdir()
        for name, data in self.files.items():
            (target / name).write_bytes(data)
        self.after(target)
        return target

    def with_file(self, name: str, data: bytes) -> Self:
        """Return the folder with a file replaced or added."""
        return evolve(self, files={**self.files, name: data})

    def without_file(self, name: str) -> Self:
        """Return the folder without a file."""
        files = {each: data for each, data in self.files.items() if each != name}
        return evolve(self, files=files)

    def with_json(self, name: str, value: object) -> Self:
        """Return the folder with a JSON file replaced or added."""
        return self.with_file(name, json.dumps(value).encode())

    def with_keys(self, name: str, /, **changes: Any) -> Self:
        """Return the folder with keys of a JSON file changed."""
        return self.with_json(name, {**json.loads(self.files[name]), **changes})

    def without_key(self, name: str, key: str) -> Self:
        """Return the folder without a key of a JSON file."""
        table = json.loads(self.files[name])
        del table[key]
        return self.with_json(name, table)

    def then(self, after: Callable[[Path], None]) -> Self:
        """Return the folder with something done after it is written."""
        return evolve(self, after=after)


def _texts() -> dict[str, bytes]:
    tables = {
        "config.json": tiny.CONFIG,
        "generation_config.json": {"bos_token_id": 0, "eos_token_id": 1},
        "tokenizer.json": tiny.TOKENIZER,
        "tokenizer_config.json": tiny.TOKENIZER_CONFIG,
    }
    return {name: json.dumps(table).encode() for name, table in tables.items()}


@cache
def valid() -> ModelFolder:
    """Return a valid folder with one weights file."""
    return ModelFolder({**_texts(), WEIGHTS: safetensors_file.valid().tobytes()})


def shard_names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tensors of each shard of `sharded`."""
    names = tuple(tiny.SHAPES)
    return names[:10], names[10:]


def weight_map() -> dict[str, str]:
    """Return the shard of each tensor."""
    pairs = zip(SHARDS, shard_names(), strict=True)
    return {name: shard for shard, names in pairs for name in names}


def with_index(folder: ModelFolder, **changes: Any) -> ModelFolder:
    """Return a folder with keys of the index changed."""
    return folder.with_keys(INDEX, **changes)


@cache
def sharded() -> ModelFolder:
    """Return a valid folder with two shards and their index."""
    shards = {
        shard: safetensors_file.holding(*names).tobytes()
        for shard, names in zip(SHARDS, shard_names(), strict=True)
    }
    total = sum(len(tiny.weights(name)) for name in tiny.SHAPES)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map()}
    return ModelFolder({**_texts(), **shards, INDEX: json.dumps(index).encode()})
