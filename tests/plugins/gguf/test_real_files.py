"""Real models and vocabularies go there and back without a change."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from aprhub.api import LayoutOptions
from aprhub_gguf.container import read_container
from tests.judges import assets
from tests.judges.llama import Llama
from tests.plugins.gguf.disk import opened, reopened, written

PROMPT = (1, 2, 3, 50, 60, 700)
MODELS = (assets.smollm2, assets.gemma3)


@pytest.mark.parametrize("model", MODELS, ids=lambda each: each.__name__)
def test_a_model_keeps_its_keys_and_its_bytes(
    tmp_path: Path, model: Callable[[], Path]
) -> None:
    source = opened(model())
    (path,) = written(source, tmp_path / "again.gguf")

    before, after = read_container(model()), read_container(path)

    assert dict(after.entries) == dict(before.entries)
    assert path.stat().st_size == model().stat().st_size
    for name, tensor in before.tensors.items():
        assert after.tensors[name].tobytes() == tensor.tobytes()
    assert opened(path).config == source.config


def test_the_gguf_package_reads_the_same_from_parts(tmp_path: Path) -> None:
    source = opened(assets.smollm2())
    paths = written(source, tmp_path / "a.gguf", LayoutOptions(shard_size=1 << 26))

    theirs = {each.name: each for each in GGUFReader(assets.smollm2()).tensors}
    found = [each for path in paths for each in GGUFReader(path).tensors]

    assert len(paths) == 2
    assert [each.name for each in found] == [*theirs]
    for each in found:
        assert each.tensor_type == theirs[each.name].tensor_type
        assert (each.data == theirs[each.name].data).all()


def test_llama_cpp_computes_the_same_from_parts(tmp_path: Path) -> None:
    source = opened(assets.smollm2())
    first, *_ = written(source, tmp_path / "a.gguf", LayoutOptions(shard_size=1 << 25))

    with Llama.load(assets.smollm2()) as whole, Llama.load(first) as parts:
        expected, found = whole.logits(PROMPT), parts.logits(PROMPT)

    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("model", MODELS, ids=lambda each: each.__name__)
def test_a_model_opens_at_once(model: Callable[[], Path]) -> None:
    opened(model())

    begin = time.process_time()
    opened(model())

    assert time.process_time() - begin < 0.15


def test_vocabularies_keep_their_keys(tmp_path: Path) -> None:
    for name, path in assets.vocabularies().items():
        source = opened(path)
        again = reopened(source, tmp_path)

        before = read_container(path).entries
        after = read_container(tmp_path / "again.gguf").entries
        shared = before.keys() & after.keys()
        assert before.keys() <= after.keys(), name
        assert {key: before[key] for key in shared} == {
            key: after[key] for key in shared
        }, name
        assert again.config == source.config, name
        assert again.carried == source.carried, name
