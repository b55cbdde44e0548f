"""Several adapters made into one: PEFT's weighted adapter is the judge."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from aprhub import open_model
from aprhub.adapters.making import AdapterConversion, converted
from aprhub.adapters.operations import AdapterMerge
from aprhub.adapters.stacking import Stacking
from aprhub.adapters.writing import WriteOptions
from aprhub.errors import UnrepresentableError, UsageError
from aprhub.front import merge_adapters
from tests.adapters.makers import (
    REGISTRY,
    canonical,
    entrenar,
    model,
    pairs,
    peft,
    saved,
)
from tests.judges import peft as judge

WEIGHTS = (0.75, -0.5)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(model(), tmp_path_factory.mktemp("stacking") / "base")


@pytest.fixture(scope="module")
def two(base: Path) -> list[Path]:
    folders = [base.parent / "one", base.parent / "other"]
    for seed, folder in enumerate(folders):
        targets = ["q_proj", "down_proj"]
        judge.trained(
            base, folder, seed=seed, r=4, lora_alpha=6 + seed, target_modules=targets
        )
    return folders


def _deltas(folder: Path) -> dict[str, np.ndarray]:
    """Return the products of a PEFT folder whose scale is 1."""
    halves = load_file(folder / "adapter_model.safetensors")
    modules = {name.split(".lora_")[0] for name in halves}
    return {
        module: halves[f"{module}.lora_B.weight"] @ halves[f"{module}.lora_A.weight"]
        for module in modules
    }


MODES = [
    "cat",
    "linear",
    "svd",
    "ties",
    "magnitude_prune",
    "ties_svd",
    "magnitude_prune_svd",
]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_mixes_as_peft_does(
    mode: str, base: Path, two: list[Path], tmp_path: Path
) -> None:
    density = 0.5 if "ties" in mode or "prune" in mode else None
    theirs = tmp_path / "theirs"
    judge.weighted(base, two, theirs, WEIGHTS, combination_type=mode, density=density)
    how = Stacking(mode, WEIGHTS, density)

    request = AdapterConversion(base, two, stacking=how, layout="peft")
    converted(request, tmp_path / "ours", WriteOptions(), REGISTRY)

    expected, found = _deltas(theirs / "mixed"), _deltas(tmp_path / "ours")
    assert found.keys() == expected.keys()
    for name, delta in found.items():
        largest = np.abs(expected[name]).max()
        np.testing.assert_allclose(delta, expected[name], atol=1e-5 * largest)


@pytest.mark.parametrize("mode", ["dare_linear", "dare_ties", "dare_linear_svd"])
def test_random_pruning_is_decided_by_the_seed_alone(
    mode: str, base: Path, two: list[Path], tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        how = Stacking(mode, WEIGHTS, 0.5, seed=seed)
        request = AdapterConversion(base, two, stacking=how, layout="peft")
        converted(request, tmp_path / name, WriteOptions(), REGISTRY)

    one, same, other = (
        (tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "abc"
    )
    assert one == same != other


def test_what_random_pruning_keeps_is_enlarged_by_what_it_drops(
    base: Path, two: list[Path], tmp_path: Path
) -> None:
    for name, density in (("whole", 1.0), ("half", 0.5)):
        how = Stacking("dare_linear", (1.0,), density)
        request = AdapterConversion(base, two[:1], stacking=how, layout="peft")
        converted(request, tmp_path / name, WriteOptions(), REGISTRY)

    file = "adapter_model.safetensors"
    whole, half = (load_file(tmp_path / name / file) for name in ("whole", "half"))
    for name, values in half.items():
        kept = values != 0
        assert 0.3 < kept.mean() < 0.7
        np.testing.assert_allclose(values[kept], 2 * whole[name][kept], rtol=1e-6)


def test_a_merge_of_two_adds_both_changes_by_their_weights(
    base: Path, tmp_path: Path
) -> None:
    before = model()
    one = entrenar(pairs(4), tmp_path / "one")
    other = peft(pairs(6, targets=("q_proj", "k_proj")), tmp_path / "other")
    target = tmp_path / "merged.apr"
    request = AdapterMerge(base, [one, other], stacking=Stacking("cat", (1.0, 0.5)))

    report = merge_adapters(request, target, registry=REGISTRY)

    assert report.summary == "Layers merged 6/21"
    after = open_model(target)
    expected: dict[str, Any] = {}
    for weight, found in ((1.0, pairs(4)), (0.5, pairs(6, 2, ("q_proj", "k_proj")))):
        for name, (a, b) in found.items():
            delta = weight * 8 / a.shape[0] * b.astype(np.float64) @ a
            key = canonical(name)
            known = expected.get(key, before.tensors[key].numpy().astype(np.float64))
            expected[key] = known + delta
    for key, values in expected.items():
        np.testing.assert_allclose(after.tensors[key].numpy(), values, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"mode": "mean"}, "choose one of cat"),
        ({"weights": (1.0, float("nan"))}, "give finite numbers"),
        ({"mode": "ties"}, "needs a density"),
        ({"mode": "ties", "density": 1.5}, "give one above 0"),
        ({"mode": "cat", "density": 0.5}, "to a mode that prunes"),
        ({"mode": "cat", "rank": 3}, "to a mode with svd"),
        ({"mode": "svd", "rank": 0}, "positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    values: dict[str, object], what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        Stacking(**values)  # type: ignore[arg-type]  # names are checked by attrs


def test_weights_count_adapters(base: Path, two: list[Path], tmp_path: Path) -> None:
    request = AdapterMerge(base, two, stacking=Stacking("cat", (1.0,)))

    with pytest.raises(UsageError, match="1 weights for 2 adapters"):
        merge_adapters(request, tmp_path / "merged.apr", registry=REGISTRY)


def test_ranks_that_differ_are_refused_where_matrices_are_mixed(
    base: Path, tmp_path: Path
) -> None:
    paths = [entrenar(pairs(rank), tmp_path / str(rank)) for rank in (2, 4)]
    request = AdapterMerge(base, paths, stacking=Stacking("linear"))

    with pytest.raises(UnrepresentableError, match="ranks, there are 2 and 4"):
        merge_adapters(request, tmp_path / "merged.apr", registry=REGISTRY)


def test_what_has_no_weight_cannot_be_stacked(
    base: Path, two: list[Path], tmp_path: Path
) -> None:
    dora = tmp_path / "dora"
    judge.trained(base, dora, r=4, use_dora=True, target_modules=["q_proj"])
    request = AdapterMerge(base, [two[0], dora])

    with pytest.raises(UnrepresentableError, match="cannot be weighted"):
        merge_adapters(request, tmp_path / "merged.apr", registry=REGISTRY)
