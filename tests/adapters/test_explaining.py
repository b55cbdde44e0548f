"""Merged models explained: which product was added, and how often."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from aprhub import Tensor
from aprhub.adapters.explaining import (
    ASKED,
    FLAT,
    OTHER,
    RIGHT,
    SCALED,
    TRANSPOSED,
    UNCHANGED,
    explained,
)
from aprhub.adapters.matching import MatchOptions
from aprhub.adapters.operations import AdapterMerge
from aprhub.front import merge_adapters
from tests.adapters.makers import REGISTRY, Array, model, pairs, peft, saved
from tests.judges import peft as judge

QUERY = "layers.0.attn.q.weight"

ADDED: dict[str, Callable[[Array, Array], Array]] = {
    RIGHT: lambda a, b: 2 * b @ a,
    SCALED: lambda a, b: 4 * b @ a,
    TRANSPOSED: lambda a, b: 2 * (b @ a).T,
    FLAT: lambda a, b: 2 * a.reshape(64, -1) @ b.reshape(-1, 64),
    OTHER: lambda a, b: np.ones((64, 64), np.float32),
}


@pytest.mark.parametrize("verdict", ADDED)
def test_what_was_added_is_told_from_what_looks_like_it(
    verdict: str, tmp_path: Path
) -> None:
    before = model()
    found = dict(list(pairs(targets=("q_proj",)).items())[:1])
    values = before.tensors[QUERY].numpy() + ADDED[verdict](*next(iter(found.values())))
    after = evolve(before, tensors={**before.tensors, QUERY: Tensor.of(values)})
    base, merged = saved(before, tmp_path / "base"), saved(after, tmp_path / "m.gguf")
    adapter = peft(found, tmp_path / "adapter")

    result = explained((base, merged, adapter), REGISTRY, MatchOptions())

    (change,) = result.changes
    assert (change.name, change.verdict) == (QUERY, verdict)
    assert result.is_right == (verdict == RIGHT)
    assert change.effective_rank == (1 if verdict == OTHER else 4)
    if verdict not in (OTHER, SCALED):
        assert change.scale == pytest.approx(2, rel=1e-4)
    if verdict != OTHER:
        assert change.expected_scale == 2


@pytest.mark.parametrize(
    "config",
    [
        {"use_dora": True, "target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["v_proj"], "modules_to_save": ["norm", "lm_head"]},
    ],
    ids=["DoRA", "whole modules"],
)
def test_what_is_no_plain_product_is_right_as_the_adapter_asks_for_it(
    config: dict[str, Any], tmp_path: Path
) -> None:
    base, merged = saved(model(), tmp_path / "base"), tmp_path / "merged"
    judge.trained(base, tmp_path / "adapter", r=4, lora_alpha=8, **config)
    request = AdapterMerge(base, [tmp_path / "adapter"])
    report = merge_adapters(request, merged, registry=REGISTRY)

    result = explained((base, merged, tmp_path / "adapter"), REGISTRY, MatchOptions())

    assert result.is_right
    changed = {each.name for each in result.changes}
    assert changed == {*report.merged, *report.replaced}
    assert ASKED in {each.verdict for each in result.changes}


def test_a_pair_that_was_skipped_is_found(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    merged = saved(model(), tmp_path / "merged.apr")
    adapter = peft(pairs(), tmp_path / "adapter")

    result = explained((base, merged, adapter), REGISTRY, MatchOptions())

    assert {each.verdict for each in result.changes} == {UNCHANGED}
    assert not result.is_right
