"""`aprhub hash`: one number for a model, whatever file it is in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from aprhub import ConvertOptions, Tensor, save_model
from aprhub.api import ENCODINGS, ModelIR
from aprhub.hashing import hashed
from aprhub.testing.models import PICOS
from tests.judges.model_hash import model_hash, tensor_hashes
from tests.unit.cli.conftest import Models
from tests.unit.cli.program import refused, succeed

# Reading back what Gemma's norms are stored as rounds, unless they are narrow.
ALIKE = sorted(
    name for name in PICOS.keys() - {"gemma3"} if not name.endswith("quantised")
)


def _hash(file: Path, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = succeed("hash", file, "--json", *words).json
    return found


@pytest.mark.parametrize("name", ALIKE)
def test_a_model_has_one_hash_in_every_format(name: str, models: Models) -> None:
    found = [
        _hash(models.file(name, suffix), "--values") for suffix in (".gguf", ".apr", "")
    ]

    for part in ("model", "values", "config", "tokenizer"):
        assert len({each[part] for each in found}) == 1, part


def test_quantised_tensors_are_hashed_as_they_are_packed(models: Models) -> None:
    found = hashed(models.pico("llama-quantised"), values=True)

    stored = _hash(models.file("llama-quantised", ".gguf"), "--tensors", "--values")

    expected = [(each.name, each.sha256, each.values) for each in found.tensors]
    rows = [(row["name"], row["sha256"], row["values"]) for row in stored["tensors"]]
    assert rows == expected
    assert {"q8_0", "q4_0"} <= {row["encoding"] for row in stored["tensors"]}


def test_anybody_can_compute_the_hash_from_what_the_page_says(models: Models) -> None:
    folder = models.file("llama-rope", "")

    found = _hash(folder, "--tensors")

    listed = {row["name"]: row["sha256"] for row in found["tensors"]}
    assert listed == tensor_hashes(folder / "model.safetensors")
    assert found["model"] == model_hash(folder)


def test_widening_changes_the_hash_and_not_that_of_the_values(
    models: Models, tmp_path: Path
) -> None:
    narrow, wide = models.file("qwen2", ".gguf"), tmp_path / "wide.apr"
    succeed("convert", narrow, wide, "--dtype", "f32")

    one, other = (_hash(file, "--values") for file in (narrow, wide))

    assert one["model"] != other["model"]
    assert one["values"] == other["values"]
    assert one["values"].startswith("aprhub-values-1:")


def _one_bit(model: ModelIR) -> ModelIR:
    values = model.tensors["norm.weight"].numpy().copy()
    values.view(np.uint32)[-1] ^= 1
    return evolve(model, tensors={**model.tensors, "norm.weight": Tensor.of(values)})


def _renamed(model: ModelIR) -> ModelIR:
    tensors = dict(model.tensors)
    tensors["norms.weight"] = tensors.pop("norm.weight")
    return evolve(model, tensors=tensors)


def _reshaped(model: ModelIR) -> ModelIR:
    tensor = model.tensors["embed.weight"].reshaped(144, 128)
    return evolve(model, tensors={**model.tensors, "embed.weight": tensor})


def _retyped(model: ModelIR) -> ModelIR:
    tensor = evolve(model.tensors["norm.weight"], encoding=ENCODINGS["i32"])
    return evolve(model, tensors={**model.tensors, "norm.weight": tensor})


def _reconfigured(model: ModelIR) -> ModelIR:
    return evolve(model, config=evolve(model.config, rope_theta=10_001.0))


def _respecialised(model: ModelIR) -> ModelIR:
    assert model.tokenizer
    return evolve(model, tokenizer=evolve(model.tokenizer, special_ids={"bos": 1}))


@pytest.mark.parametrize(
    "change",
    [_one_bit, _renamed, _reshaped, _retyped, _reconfigured, _respecialised],
)
def test_whatever_is_another_model_has_another_hash(
    change: Any, models: Models
) -> None:
    model = models.pico("llama")

    assert hashed(change(model)).model != hashed(model).model


def test_whole_numbers_are_the_same_however_they_are_written(models: Models) -> None:
    model = models.pico("llama")
    config = evolve(model.config, rope_theta=10_000)

    whole = hashed(evolve(model, config=config))

    config = evolve(config, rope_theta=10_000.0)
    assert whole.config == hashed(evolve(model, config=config)).config


def test_placeholders_that_fill_the_embedding_do_not_count(models: Models) -> None:
    model = models.pico("llama")
    more = evolve(model.config, vocab_size=300)

    assert hashed(evolve(model, config=more)).tokenizer == hashed(model).tokenizer


def test_names_that_were_kept_have_a_hash_too(models: Models, tmp_path: Path) -> None:
    model = evolve(models.pico("llama"), tokenizer=None)
    options = ConvertOptions(allow_unrunnable=True)
    save_model(model, tmp_path / "m.apr", options, registry=models.registry)

    found = _hash(tmp_path / "m.apr", "--naming", "keep", "--tensors")

    assert "tokenizer" not in found
    names = {row["name"] for row in found["tensors"]}
    assert "model.layers.0.self_attn.q_proj.weight" in names


def test_the_hash_is_printed_with_what_it_cost(gguf: Path) -> None:
    lines = succeed("hash", gguf).out.splitlines()

    assert [line.split()[0] for line in lines[:3]] == ["model", "config", "tokenizer"]
    assert lines[0].split()[1].startswith("aprhub-model-1:")
    assert lines[-1].startswith("333056 bytes in ")
    assert lines[-1].endswith(" GB/s")


def test_what_is_no_model_has_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF")

    assert str(path) in refused(3, "hash", path)
