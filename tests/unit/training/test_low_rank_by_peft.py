"""PEFT judges pairs that are trained here: the same steps, logits and weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from attrs import evolve
from numpy.typing import NDArray
from safetensors.numpy import load_file

from aprhub import Tensor, conversion, open_model
from aprhub.adapters.operations import AdapterMerge
from aprhub.adapters.writing import AdapterWriter
from aprhub.api import UnrepresentableError
from aprhub.decoder.model import Decoder
from aprhub.decoder.weights import loaded
from aprhub.front import merge_adapters
from aprhub.ir.adapter import Adapter
from aprhub.lift import LiftOptions
from aprhub.low_rank import PROJECTIONS, LowRankOptions
from aprhub.training.low_rank import adapt, adapter_of
from aprhub.training.nf4 import Nf4Linear, decoded
from aprhub.training.optimizer import BETAS, EPS, optimizer_of, values_of
from aprhub.training.trainer import Trainer
from tests.adapters.makers import REGISTRY, model, saved
from tests.judges import hf, peft
from tests.unit.training.toy import course, losses, trainer

IDS: Final = (1, 2, 3, 40, 50, 60)
STEPS: Final = 3
RATE: Final = 1e-2

OPTIONS: Final[Mapping[str, LowRankOptions]] = {
    "plain": LowRankOptions(rank=4, alpha=8.0),
    "rank-stabilised": LowRankOptions(
        rank=4, alpha=6.0, rank_stabilised=True, targets=("attn.q", "attn.v")
    ),
    "quantised": LowRankOptions(rank=4, alpha=8.0, quantized=True),
}
CONFIG: Final[Mapping[str, Mapping[str, Any]]] = {
    "plain": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"},
    "rank-stabilised": {
        "r": 4,
        "lora_alpha": 6,
        "use_rslora": True,
        "target_modules": ["q_proj", "v_proj"],
    },
    "quantised": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"},
}
LAYOUTS: Final = {
    "peft": "adapter",
    "entrenar": "adapter",
    "names": "adapter.safetensors",
    "apr": "adapter.apr",
    "gguf": "adapter.gguf",
}

Array = NDArray[np.float32]


def adapted(options: LowRankOptions, family: str = "llama") -> Trainer:
    """Return a trainer of pairs of which no matrix is zero, at a constant rate."""
    chosen = course(num_steps=1000, warmup_steps=0, lr=RATE, schedule="wsd")
    found = trainer(chosen, model(family))
    adapt(found.decoder, options, seed=3)
    torch.manual_seed(4)
    with torch.no_grad():
        for name, values in found.decoder.named_parameters():
            if name.endswith("lora_b"):
                values.normal_(0, 0.05)
    return evolve(found, optimizer=optimizer_of(found.decoder, chosen))


def base_of(decoder: Decoder, path: Path) -> Path:
    """Save the model that an adapted decoder has pairs for; f32 where it has codes."""
    found = model()
    weights = {
        f"{name.removesuffix('.base')}.weight": Tensor.of(
            decoded(each.codes, each.scales, each.shape).numpy()
        )
        for name, each in decoder.named_modules()
        if isinstance(each, Nf4Linear)
    }
    return saved(evolve(found, tensors={**found.tensors, **weights}), path)


def written(adapter: Adapter, base: Path, target: Path, layout: str = "peft") -> Path:
    opened = conversion.opened(base, REGISTRY, LiftOptions())
    writer = AdapterWriter(opened, REGISTRY.adapter_layout(layout), REGISTRY)
    writer.written(adapter, target)
    return target


def halves(folder: Path) -> dict[str, Array]:
    return load_file(folder / "adapter_model.safetensors")


@torch.inference_mode()
def logits(decoder: Decoder) -> Array:
    found: Array = decoder(torch.tensor([IDS]))[0].numpy()
    return found


def assert_near(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", OPTIONS)
def test_steps_are_those_of_a_plain_loop_with_peft(kind: str, tmp_path: Path) -> None:
    options, found = OPTIONS[kind], adapted(OPTIONS[kind])
    base = base_of(found.decoder, tmp_path / "base")
    start = halves(
        written(adapter_of(values_of(found.decoder), options), base, tmp_path / "a")
    )
    losses(found, STEPS)

    expected = peft.stepped(
        base,
        start,
        [found.batches.batch(number) for number in range(STEPS)],
        CONFIG[kind],
        lr=RATE,
        betas=BETAS,
        eps=EPS,
        weight_decay=found.course.weight_decay,
    )

    after = halves(
        written(adapter_of(values_of(found.decoder), options), base, tmp_path / "b")
    )
    assert after.keys() == expected.keys()
    for name, values in after.items():
        assert np.abs(values - start[name]).max() > RATE
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=1e-3 * RATE)


@pytest.mark.parametrize("kind", OPTIONS)
def test_logits_are_those_of_peft_and_of_the_merged_model_whatever_the_layout(
    kind: str, tmp_path: Path
) -> None:
    found = adapted(OPTIONS[kind])
    losses(found, STEPS)
    base = base_of(found.decoder, tmp_path / "base")
    adapter, wanted = (
        adapter_of(values_of(found.decoder), OPTIONS[kind]),
        logits(found.decoder),
    )

    folder = written(adapter, base, tmp_path / "peft", "peft")
    assert_near(peft.judged(base, folder, IDS).logits, wanted)
    weights = []
    for layout, name in LAYOUTS.items():
        (tmp_path / f"as-{layout}").mkdir()
        target = tmp_path / f"as-{layout}" / name
        path = written(adapter, base, target, layout)
        merged = tmp_path / f"merged-{layout}"
        merge_adapters(AdapterMerge(base, [path]), merged, registry=REGISTRY)
        weights.append(load_file(merged / "model.safetensors"))
    assert_near(hf.logits(tmp_path / "merged-peft", IDS), wanted)
    for each in weights[1:]:
        for name, values in each.items():
            np.testing.assert_allclose(values, weights[0][name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("family", ["gemma3", "qwen2_moe", "mixtral"])
def test_merged_models_of_other_families_compute_what_was_trained(
    family: str, tmp_path: Path
) -> None:
    before = saved(model(family), tmp_path / "base.apr")
    options = LowRankOptions(rank=4, alpha=8.0)
    found = adapted(options, family)
    losses(found, STEPS)

    path = written(
        adapter_of(values_of(found.decoder), options), before, tmp_path / "a.apr", "apr"
    )
    merge_adapters(
        AdapterMerge(before, [path]), tmp_path / "merged.apr", registry=REGISTRY
    )

    merged = open_model(tmp_path / "merged.apr", registry=REGISTRY)
    plain = loaded(merged, REGISTRY.family(family)).decoder
    assert_near(logits(plain), logits(found.decoder))


@pytest.mark.parametrize(
    ("family", "rank_stabilised", "targets"),
    [
        ("mixtral", False, PROJECTIONS),
        ("mixtral", True, ("attn.q", "ffn.down")),
        ("qwen3_moe", True, PROJECTIONS),
    ],
)
def test_peft_computes_the_same_with_pairs_of_experts(
    family: str, rank_stabilised: bool, targets: tuple[str, ...], tmp_path: Path
) -> None:
    base = saved(model(family), tmp_path / "base")
    options = LowRankOptions(4, 8.0, rank_stabilised, targets)
    found = adapted(options, family)

    folder = written(
        adapter_of(values_of(found.decoder), options), base, tmp_path / "adapter"
    )

    assert_near(peft.judged(base, folder, IDS).logits, logits(found.decoder))


@pytest.mark.parametrize(
    ("family", "targets", "what"),
    [
        ("qwen2_moe", ("ffn.down",), "leaves out what is for experts of qwen2_moe"),
        ("mixtral", ("ffn.gate", "ffn.up"), "changes w1 and w3, and peft takes all"),
        ("qwen3_moe", ("ffn.up",), "changes up_proj, and peft takes all three"),
    ],
)
def test_pairs_of_experts_that_peft_does_not_apply_are_refused(
    family: str, targets: tuple[str, ...], what: str, tmp_path: Path
) -> None:
    base = saved(model(family), tmp_path / "base")
    options = LowRankOptions(targets=targets)
    adapter = adapter_of(values_of(adapted(options, family).decoder), options)

    with pytest.raises(UnrepresentableError, match=what):
        written(adapter, base, tmp_path / "adapter")


def test_a_base_that_is_not_quantised_is_another_than_the_pairs_were_trained_on(
    tmp_path: Path,
) -> None:
    base = saved(model(), tmp_path / "base")
    found = adapted(OPTIONS["quantised"])
    losses(found, STEPS)

    adapter = adapter_of(values_of(found.decoder), OPTIONS["quantised"])
    path = written(adapter, base, tmp_path / "adapter")

    gap = np.abs(peft.judged(base, path, IDS).logits - logits(found.decoder))
    assert gap.max() > 1e-2
