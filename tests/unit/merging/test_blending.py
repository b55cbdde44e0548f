"""Tensors are blended in rows: the same bytes by any road, in bounded memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import aprhub
from aprhub import ConvertOptions, Registry, Tensor
from aprhub.ir.encoding import ENCODINGS, F32
from aprhub.ir.joining import combined
from aprhub.merging import blending
from aprhub.merging.blending import Operands, blended
from aprhub.merging.reading import read_recipe
from aprhub.spec.merging import Settings
from tests.unit.merging.conftest import Write

REGISTRY = Registry.load()
ROWS, COLUMNS = 20_000, 512

RECIPE = """
merge_method: %s
base_model: base
models: [{model: one}, {model: two}]
parameters: {weight: 0.5, density: 0.5}
dtype: bfloat16
"""


@pytest.mark.parametrize("method", ["ties", "dare_linear", "della"])
def test_the_number_of_workers_does_not_matter(
    method: str, recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = read_recipe(recipe(RECIPE % method))
    found = set()
    for workers, elements in ((1, 1 << 16), (2, 1 << 9), (4, 100)):
        monkeypatch.setattr(blending, "ELEMENTS", elements)
        target = tmp_path / f"{workers}.gguf"
        aprhub.merge(wanted, target, ConvertOptions(workers=workers))
        found.add(target.read_bytes())

    assert len(found) == 1


def endless(seed: int) -> Tensor:
    """Return a tensor that is computed when it is read, and so is never in memory."""
    small = Tensor.of(np.random.default_rng(seed).random((1, COLUMNS), np.float32))
    row = small.taken(np.zeros(ROWS, np.int64))
    count = np.float32(1 + seed)
    return combined(lambda values: values * count, [row])


@pytest.mark.parametrize("name", ["linear", "slerp", "ties", "sce", "arcee_fusion"])
def test_a_large_tensor_takes_little_memory(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blending, "_THREADS", 2)
    method = REGISTRY.method(name)
    defaults = {
        p.name: 0.5 if p.default is None else p.default for p in method.parameters
    }
    defaults["density"] = defaults["select_topk"] = 0.5
    count = 1 if method.models[1] == 1 else 2
    base = endless(9) if method.base != "none" else None
    operands = Operands.of(
        [endless(seed) for seed in range(count)],
        base,
        Settings(defaults, (defaults,) * count),
        (name, 0),
    )
    tensor = blended(name, method, operands, ENCODINGS["bf16"])

    tracemalloc.start()
    total = sum(int(piece[0]) for piece in tensor.pieces(1 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert total >= 0
    assert peak < 4 * ROWS * COLUMNS


@pytest.mark.parametrize("value", [1e30, -1e30])
def test_values_that_the_dtype_cannot_hold_are_refused(value: float) -> None:
    large = Tensor.of(np.full((2, 4), value, np.float32))
    settings = Settings({"normalize": True}, ({"weight": 1.0},))
    operands = Operands.of([large], None, settings, ("a", 0))
    tensor = blended("a", REGISTRY.method("linear"), operands, ENCODINGS["f16"])

    with pytest.raises(aprhub.AprhubError, match="8 values are too large for f16"):
        tensor.numpy()


def test_what_a_method_measures_is_measured_once() -> None:
    reads = []

    def counted(values: np.ndarray) -> np.ndarray:
        reads.append(values.size)
        return values

    models = [combined(counted, [endless(seed)]) for seed in (0, 1)]
    operands = Operands.of(models[1:], models[0], Settings({"t": 0.5}), ("a", 0))
    tensor = blended("a", REGISTRY.method("slerp"), operands, F32)
    tensor.numpy()

    assert sum(reads) == 2 * 2 * ROWS * COLUMNS
