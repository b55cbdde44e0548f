"""`aprhub tensors`: names, shapes, hashes and statistics."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.unit.cli.conftest import Models
from tests.unit.cli.program import succeed


def test_every_tensor_is_listed_under_both_names(gguf: Path) -> None:
    found = succeed("tensors", gguf, "--json").json

    assert sorted(found) == ["path", "schema", "tensors"]
    assert len(found["tensors"]) == 21
    assert {
        "name": "blk.0.attn_q.weight",
        "canonical": "layers.0.attn.q.weight",
        "shape": [96, 64],
        "encoding": "bf16",
        "bytes": 12_288,
    } in found["tensors"]


@pytest.mark.parametrize("pattern", ["blk.*.attn_q.weight", "layers.*.attn.q.weight"])
def test_a_pattern_matches_either_name(gguf: Path, pattern: str) -> None:
    rows = succeed("tensors", gguf, "--filter", pattern).out.splitlines()

    assert rows[0].split() == ["name", "canonical", "shape", "encoding", "bytes"]
    assert [row.split()[0] for row in rows[1:]] == [
        "blk.0.attn_q.weight",
        "blk.1.attn_q.weight",
    ]
    assert rows[1].split()[2:] == ["96x64", "bf16", "12288"]


def test_a_pattern_that_matches_nothing_lists_nothing(gguf: Path) -> None:
    words = ["tensors", gguf, "--filter", "no.such.*"]

    assert succeed(*words).out == ""
    assert succeed(*words, "--json").json["tensors"] == []


def test_a_hash_is_of_the_stored_bytes(models: Models, apr: Path) -> None:
    words = ["tensors", apr, "--filter", "embed.weight", "--hash", "--json"]

    (row,) = succeed(*words).json["tensors"]

    stored = models.pico("llama").tensors["embed.weight"].tobytes()
    assert row["sha256"] == hashlib.sha256(stored).hexdigest()


def test_statistics_are_those_of_numpy(models: Models, apr: Path) -> None:
    words = ["tensors", apr, "--filter", "head.weight", "--stats", "--json"]

    (row,) = succeed(*words).json["tensors"]

    values = models.pico("llama").tensors["head.weight"].numpy()
    assert (row["minimum"], row["maximum"]) == (values.min(), values.max())
    assert row["mean"] == pytest.approx(values.mean(dtype=np.float64))
    assert row["zeros"] == (values == 0).sum()
    assert (row["nans"], row["infinities"]) == (0, 0)


def test_statistics_of_quantised_tensors_are_of_their_values(models: Models) -> None:
    path = models.file("llama-quantised", ".gguf")

    words = ["tensors", path, "--filter", "*attn.[kv].weight", "--stats", "--json"]
    rows = succeed(*words).json["tensors"]

    assert {each["encoding"] for each in rows} == {"q8_0", "q4_0"}
    model = models.pico("llama-quantised").tensors
    for row in rows:
        assert row["maximum"] == model[row["canonical"]].numpy().max()
