"""Small corpora, and what their shards say when they are read without our reader."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve
from transformers import PreTrainedTokenizerFast

from aprhub.api import Tokenizer, described
from aprhub.corpus import Corpus
from aprhub.testing.tokenizer import pico_tokenizer
from aprhub.tokenizer.parity import loaded_program
from tests.judges import assets

PICO = evolve(pico_tokenizer(), chat_template=None)
END = PICO.special_ids["eos"]


@cache
def real(name: str) -> Tokenizer:
    """Return a real tokenizer, as its folder has it."""
    folder = assets.tokenizer(name)
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    text = (folder / "tokenizer.json").read_text("utf-8")
    return described(text, config, None, None, None)


@cache
def judge(name: str) -> Any:
    """Return transformers' own tokenizer."""
    return PreTrainedTokenizerFast.from_pretrained(assets.tokenizer(name))


def lines(path: Path, values: Iterable[Any]) -> Path:
    """Write values as JSON, one a line."""
    path.write_text("".join(f"{json.dumps(each)}\n" for each in values), "utf-8")
    return path


def texts(path: Path, values: Iterable[str], key: str = "text") -> Path:
    """Write texts as records."""
    return lines(path, ({key: each} for each in values))


def stored(found: Corpus, part: str = "train") -> Sequence[str]:
    """Return the documents of a part: its file cut at the ends, each piece decoded."""
    ids = np.fromfile(found.folder / f"{part}.bin", found.manifest.dtype)
    program = loaded_program(PICO)
    pieces = np.split(ids, np.flatnonzero(ids == END) + 1)
    assert pieces.pop().size == 0
    return [program.decode(piece[:-1].tolist()) for piece in pieces]
