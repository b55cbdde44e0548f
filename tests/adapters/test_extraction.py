"""Adapters made of the difference of two models; numpy's own SVD is the judge."""

from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from aprhub import ModelIR, Tensor, open_model
from aprhub.adapters.extraction import AdapterExtraction
from aprhub.adapters.making import AdapterReport, extraction
from aprhub.adapters.operations import AdapterMerge
from aprhub.adapters.truncation import effective_rank, truncated_svd
from aprhub.adapters.writing import WriteOptions
from aprhub.errors import ModelCheckError, UnrepresentableError, UsageError
from aprhub.front import merge_adapters
from tests.adapters.makers import REGISTRY, model, pairs, peft, saved

QUERY = "layers.0.attn.q.weight"
NORM = "layers.1.ffn.norm.weight"


def extract(base: Path, tuned: Path, target: Path, rank: int = 4) -> AdapterReport:
    request = AdapterExtraction(
        base, tuned, rank, "peft" if not target.suffix else None
    )
    return extraction(request, target, WriteOptions(), REGISTRY)


def tuned(before: ModelIR, *names: str) -> ModelIR:
    """Return a model in which some tensors have other values, of full rank."""
    random = np.random.default_rng(11)
    other = {
        name: Tensor.of(
            before.tensors[name].numpy()
            + random.integers(-9, 9, before.tensors[name].shape).astype(np.float32) / 64
        )
        for name in names
    }
    return evolve(before, tensors={**before.tensors, **other})


@pytest.mark.parametrize("shape", [(96, 40), (40, 96), (64, 64)])
def test_what_is_cut_off_is_the_least_that_can_be(shape: tuple[int, int]) -> None:
    delta = np.random.default_rng(2).normal(size=shape).astype(np.float32)

    a, b, missing = truncated_svd(Tensor.of(delta), 5)

    u, s, v = np.linalg.svd(delta.astype(np.float64), full_matrices=False)
    best = (u[:, :5] * s[:5]) @ v[:5]
    np.testing.assert_allclose(b @ a, best, atol=1e-5)
    np.testing.assert_allclose(a @ a.T, np.eye(5), atol=1e-5)
    assert missing == pytest.approx(np.sqrt((s[5:] ** 2).sum() / (s**2).sum()))
    energies = (s**2).cumsum() / (s**2).sum()
    assert effective_rank(Tensor.of(delta), 0.9) == int((energies < 0.9).sum()) + 1


@pytest.mark.parametrize("target", ["out", "out.gguf", "out.apr", "out.safetensors"])
def test_a_merged_adapter_comes_out_again_in_any_layout(
    target: str, tmp_path: Path
) -> None:
    base = saved(model(), tmp_path / "base.gguf")
    adapter = peft(pairs(), tmp_path / "adapter")
    merged = tmp_path / "merged.apr"
    merge_adapters(AdapterMerge(base, [adapter]), merged, registry=REGISTRY)

    report = extract(base, merged, tmp_path / target)

    assert len(report.changes) == 4
    again = tmp_path / "again.apr"
    merge_adapters(AdapterMerge(base, [tmp_path / target]), again, registry=REGISTRY)
    one, other = open_model(merged), open_model(again)
    for name, tensor in one.tensors.items():
        found = other.tensors[name].numpy()
        np.testing.assert_allclose(found, tensor.numpy(), atol=2e-6, err_msg=name)


def test_a_changed_vector_comes_whole_and_the_share_that_is_missing_is_said(
    tmp_path: Path,
) -> None:
    before = model()
    base = saved(before, tmp_path / "base")
    other = saved(tuned(before, QUERY, NORM), tmp_path / "tuned.gguf")

    report = extract(base, other, tmp_path / "adapter")

    assert (list(report.changes), report.replaced) == ([QUERY], (NORM,))
    assert "the rank misses up to 0." in report.notes[0]


def test_a_layout_of_pairs_alone_needs_leave_to_drop_a_vector(tmp_path: Path) -> None:
    before = model()
    base = saved(before, tmp_path / "base")
    other = saved(tuned(before, QUERY, NORM), tmp_path / "tuned")
    target = tmp_path / "adapter.gguf"

    with pytest.raises(UnrepresentableError, match="is replaced"):
        extract(base, other, target)

    request = AdapterExtraction(base, other, 4, pairs_only=True)
    report = extraction(request, target, WriteOptions(), REGISTRY)
    assert any(NORM in note for note in report.notes)


def test_an_untied_head_is_a_change_of_the_tied_one(tmp_path: Path) -> None:
    before = model(tie_embeddings=True)
    base = saved(before, tmp_path / "base")
    adapter = tmp_path / "head"
    a = np.random.default_rng(5).normal(size=(2, 64)).astype(np.float32)
    b = np.random.default_rng(6).normal(size=(288, 2)).astype(np.float32)
    _peft_head(a, b, adapter)
    merged = tmp_path / "merged"
    merge_adapters(AdapterMerge(base, [adapter]), merged, registry=REGISTRY)

    report = extract(base, merged, tmp_path / "adapter", rank=2)

    assert list(report.changes) == ["head.weight"]


def _peft_head(a: np.ndarray, b: np.ndarray, folder: Path) -> None:
    from safetensors.numpy import save_file

    folder.mkdir()
    name = "base_model.model.lm_head.lora_{}.weight"
    halves = {name.format("A"): a, name.format("B"): b}
    save_file(halves, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"lora_alpha": 2}')


def test_models_that_do_not_differ_have_no_adapter(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    same = saved(model(), tmp_path / "same.gguf")

    with pytest.raises(ModelCheckError, match="nothing to extract"):
        extract(base, same, tmp_path / "adapter")


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (lambda: model("qwen2"), "of family qwen2"),
        (lambda: model(num_layers=1), "missing"),
        (lambda: model(intermediate_size=64), "has shape"),
    ],
)
def test_models_that_are_not_built_alike_are_refused(
    other: object, what: str, tmp_path: Path
) -> None:
    base = saved(model(), tmp_path / "base")
    tuned = saved(other(), tmp_path / "tuned")  # type: ignore[operator]  # makes a model

    with pytest.raises(ModelCheckError, match=what):
        extract(base, tuned, tmp_path / "adapter")


def test_a_rank_is_one_or_more(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 or more"):
        AdapterExtraction(tmp_path, tmp_path, 0)
