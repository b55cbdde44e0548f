"""Real tokenizers, judged by the `tokenizers` library."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from aprhub.api import (
    FlatVocabulary,
    ModelCheckError,
    Tokenizer,
    assembled,
    described,
    flattened,
    restored,
    same_ids,
    skeleton,
)
from tests.judges import assets, corpus
from tests.unit.tokenizer import vocabularies

ROWS = {"qwen3": 151936, "llama3_1": 128256, "mistral": 32000, "gemma3": 262144}
PRES = {
    "qwen3": ("gpt2", "qwen2"),
    "llama3_1": ("gpt2", "llama-bpe"),
    "mistral": ("llama", "default"),
    "gemma3": ("llama", "default"),
}
REAL = pytest.mark.parametrize("name", ROWS)


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


@cache
def _flattened(name: str) -> Tokenizer:
    folder = assets.tokenizer(name)
    text = (folder / "tokenizer.json").read_text("utf-8")
    config = _json(folder / "tokenizer_config.json")
    return flattened(described(text, config, None, None, None), ROWS[name])


def _flat(name: str) -> FlatVocabulary:
    flat = _flattened(name).flat
    assert flat is not None
    return flat


@REAL
def test_the_flat_form_has_a_token_for_each_row_and_a_known_name(name: str) -> None:
    flat = _flat(name)

    assert len(flat.tokens) == ROWS[name]
    assert len(set(flat.tokens)) == ROWS[name]
    assert (flat.model, flat.pre) == PRES[name]


@REAL
def test_a_tokenizer_built_from_the_flat_form_alone_gives_the_same_ids(
    name: str,
) -> None:
    original = _flattened(name)
    rebuilt = assembled(evolve(original, json=None))
    assert same_ids(original, rebuilt, corpus.STRINGS) == []


@REAL
def test_the_skeleton_beside_the_flat_form_is_the_exact_tokenizer(name: str) -> None:
    text = _flattened(name).json
    assert text is not None

    bones = skeleton(text, _flat(name))

    assert len(bones) < len(text) / 20
    assert json.loads(restored(bones, _flat(name))) == json.loads(text)


def test_gemma_has_more_tokens_than_rows_and_loses_only_one_for_images() -> None:
    whole = flattened(evolve(_flattened("gemma3"), flat=None), None).flat
    assert whole is not None
    assert whole.tokens[ROWS["gemma3"] :] == ["<image_soft_token>"]


def test_qwen_does_not_fit_fewer_rows_than_it_has_tokens() -> None:
    with pytest.raises(ModelCheckError, match=r"151936 tokens .* of 151665 rows"):
        flattened(_flattened("qwen3"), 151665)


def test_gemma_has_the_tokens_and_types_of_a_file_made_by_others() -> None:
    theirs, ours = vocabularies.read(assets.gemma3()).flat, _flat("gemma3")

    assert theirs is not None
    assert list(ours.tokens) == list(theirs.tokens)
    assert theirs.types is not None
    assert ours.types is not None
    places = np.flatnonzero(ours.types != theirs.types).tolist()
    differ = [ours.tokens[number] for number in places]
    # They call the unknown token a control token, and forgot that images are special.
    assert differ == ["<unk>", "<start_of_image>", "<end_of_image>"]


@pytest.mark.slow
def test_a_gemma_file_made_by_others_gives_the_ids_of_the_original() -> None:
    theirs = assembled(vocabularies.read(assets.gemma3()))
    assert same_ids(_flattened("gemma3"), theirs, corpus.STRINGS) == []


@pytest.mark.slow
def test_a_skeleton_fits_a_vocabulary_made_by_others_too() -> None:
    text, theirs = _flattened("gemma3").json, vocabularies.read(assets.gemma3()).flat
    assert text is not None
    assert theirs is not None
    assert json.loads(restored(skeleton(text, theirs), theirs)) == json.loads(text)


def test_a_wordpiece_model_goes_there_and_back() -> None:
    folder = assets.minilm()
    text = (folder / "tokenizer.json").read_text("utf-8")
    config, special, model = (
        _json(folder / name)
        for name in ("tokenizer_config.json", "special_tokens_map.json", "config.json")
    )
    original = described(text, config, special, model, None)

    flat = flattened(original, None)

    rebuilt = assembled(evolve(flat, json=None))
    assert same_ids(original, rebuilt, corpus.STRINGS) == []
    assert flat.flat is not None
    assert json.loads(restored(skeleton(text), flat.flat)) == json.loads(text)
