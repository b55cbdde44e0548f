"""Pairs beside frozen weights: what is trained, and what stays as it is."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve

from aprhub import Registry
from aprhub.api import UsageError
from aprhub.decoder.model import Decoder
from aprhub.decoder.plan import Plan
from aprhub.decoder.weights import loaded, populate
from aprhub.ir.tensor import Tensor
from aprhub.low_rank import LowRankOptions
from aprhub.training.low_rank import LowRankLinear, adapt, adapter_of, quantize
from aprhub.training.nf4 import Nf4Linear
from aprhub.training.optimizer import optimizer_of, values_of
from aprhub.training.progress import Progress
from aprhub.training.state import State
from aprhub.training.trainer import Trainer
from tests.unit.training.toy import course, losses, model, trainer

IDS = torch.arange(12)[None] * 5

MOST = ("attn.q", "attn.k", "attn.v", "attn.o", "ffn.gate", "ffn.up", "ffn.down")


def decoder(family: str = "llama") -> Decoder:
    start = model(family)
    return loaded(start, Registry.load().family(family)).decoder


def adapted(options: LowRankOptions, **chosen: Any) -> Trainer:
    """Return a trainer of pairs alone."""
    found = trainer(course(**chosen))
    adapt(found.decoder, options, seed=3)
    return evolve(found, optimizer=optimizer_of(found.decoder, found.course))


def names_of(found: Decoder) -> list[str]:
    modules = found.named_modules()
    return [name for name, each in modules if isinstance(each, LowRankLinear)]


def trained(found: Decoder) -> dict[str, torch.Tensor]:
    return {n: p for n, p in found.named_parameters() if p.requires_grad}


def test_every_projection_has_a_pair_and_nothing_else_is_trained() -> None:
    found = decoder()

    adapt(found, LowRankOptions(rank=3), seed=1)

    assert {name: tuple(each.shape) for name, each in trained(found).items()} == {
        f"layers.{layer}.{target}.lora_{half}": tuple(shape)
        for layer in range(2)
        for target in MOST
        for half, shape in _halves(found, f"layers.{layer}.{target}").items()
    }


def _halves(found: Decoder, name: str) -> dict[str, tuple[int, int]]:
    rows, columns = found.get_parameter(f"{name}.base.weight").shape
    return {"a": (3, columns), "b": (rows, 3)}


@pytest.mark.parametrize("quantized", [False, True])
def test_nothing_changes_before_the_first_step(quantized: bool) -> None:
    options, found = LowRankOptions(quantized=quantized), decoder()
    wanted = found(IDS)

    adapt(found, options, seed=1)

    after = found(IDS)
    assert torch.equal(after, wanted) is not quantized
    assert (after - wanted).norm() < 0.3 * wanted.norm()


def test_the_start_of_a_pair_depends_on_seed_and_name_alone() -> None:
    one, other, third = decoder(), decoder(), decoder()
    adapt(one, LowRankOptions(), seed=1)
    adapt(other, LowRankOptions(targets=("ffn.down",)), seed=1)
    adapt(third, LowRankOptions(), seed=2)

    name = "layers.1.ffn.down.lora_a"
    found = one.get_parameter(name)
    assert torch.equal(found, other.get_parameter(name))
    assert not torch.equal(found, third.get_parameter(name))
    assert not torch.equal(found, one.get_parameter("layers.0.ffn.down.lora_a"))
    bound = 96**-0.5
    assert 0.9 * bound < found.abs().max() <= bound
    assert not one.get_parameter("layers.1.ffn.down.lora_b").any()


def test_experts_and_the_shared_one_have_pairs_and_the_router_has_none() -> None:
    found = decoder("qwen2_moe")

    adapt(found, LowRankOptions(targets=("ffn.up",)), seed=1)

    experts = [f"experts.{number}" for number in range(4)]
    assert names_of(found) == [
        f"layers.{layer}.{each}.ffn.up"
        for layer in range(2)
        for each in (*experts, "shared")
    ]


def test_a_target_can_be_a_whole_role() -> None:
    found = decoder("mixtral")

    adapt(found, LowRankOptions(targets=("layers.{i}.router",)), seed=1)

    assert names_of(found) == ["layers.0.router", "layers.1.router"]


@pytest.mark.parametrize("target", ["q_proj", "norm", "head", "n.q"])
def test_a_target_that_no_weight_has_is_refused_with_those_there_are(
    target: str,
) -> None:
    found = decoder()

    there = r"choose from attn\.k, attn\.o, attn\.q,"
    with pytest.raises(UsageError, match=f"role '{target}'; {there}"):
        adapt(found, LowRankOptions(targets=("attn.q", target)), seed=1)

    assert names_of(found) == []


@pytest.mark.parametrize(
    ("chosen", "word"),
    [
        ({"rank": 0}, "rank is 0; give 1 or more"),
        ({"alpha": 0.0}, r"alpha is 0\.0; give a positive number"),
        ({"alpha": float("nan")}, "alpha is nan; give a positive number"),
        ({"targets": ()}, "at least one weight"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    chosen: dict[str, Any], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        LowRankOptions(**chosen)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_pairs_learn_and_the_base_stays(quantized: bool, precision: str) -> None:
    found = adapted(
        LowRankOptions(quantized=quantized), precision=precision, num_steps=20
    )
    before = _frozen(found.decoder)

    came = losses(found, 20)

    assert came[-1] < came[0] - 0.2
    after = _frozen(found.decoder)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def _frozen(found: Decoder) -> dict[str, torch.Tensor]:
    tensors = found.state_dict()
    return {n: t.clone() for n, t in tensors.items() if ".lora_" not in n}


@pytest.mark.parametrize("quantized", [False, True])
def test_layers_that_are_computed_twice_give_the_same_losses(quantized: bool) -> None:
    options = LowRankOptions(quantized=quantized)
    twice = adapted(options, activation_checkpointing=True)

    assert losses(twice, 3) == losses(adapted(options), 3)


def test_quantised_weights_are_a_seventh_and_the_others_are_kept() -> None:
    plain, found = decoder(), decoder()
    adapt(plain, LowRankOptions(targets=("ffn.up",)), seed=1)
    adapt(found, LowRankOptions(targets=("ffn.up",), quantized=True), seed=1)

    before, after = (_bytes(each, ".ffn.up.base.") for each in (plain, found))
    assert before / after == pytest.approx(7.1, abs=0.02)
    assert _bytes(plain, "") - before == _bytes(found, "") - after
    kinds = {type(m) for n, m in found.named_modules() if n.endswith("ffn.up.base")}
    assert kinds == {Nf4Linear}


def _bytes(found: Decoder, part: str) -> int:
    return sum(t.nbytes for n, t in found.state_dict().items() if part in n)


@pytest.mark.parametrize("quantized", [False, True])
def test_a_training_of_pairs_goes_on_to_the_bit(
    quantized: bool, tmp_path: Path
) -> None:
    options = LowRankOptions(quantized=quantized)
    whole = losses(adapted(options), 6)
    first, second = adapted(options), adapted(options)
    losses(first, 4)
    state = State(tmp_path / "state.safetensors")
    state.save(first.decoder, first.optimizer, Progress(step=4), {})

    state.load(second.decoder, second.optimizer, 4)

    assert [second.step(number).loss for number in (4, 5)] == whole[4:]


def test_an_adapter_has_the_pairs_as_they_were_when_it_was_taken() -> None:
    options = LowRankOptions(rank=4, alpha=6.0, rank_stabilised=True)
    found = adapted(options)
    losses(found, 2)

    adapter = adapter_of(values_of(found.decoder), options)
    kept = {name: each.b.numpy().copy() for name, each in adapter.changes.items()}
    losses(found, 2)

    assert list(adapter.changes) == [f"{n}.weight" for n in names_of(found.decoder)]
    for name, change in adapter.changes.items():
        assert (change.rank, change.alpha, change.scale) == (4, 6.0, 3.0)
        assert np.array_equal(change.b.numpy(), kept[name])
        assert change.b.numpy().any()


class Watched(dict[str, Tensor]):
    """Tensors that tell, whenever one is read, what a decoder holds by then."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(tensors)
        self.decoder: Decoder | None = None
        self.held: list[int] = []

    def __getitem__(self, name: str) -> Tensor:
        if self.decoder is not None:
            maps = self.decoder.layers.parameters()
            self.held.append(sum(p.ndim == 2 and not p.is_meta for p in maps))
        return super().__getitem__(name)


def test_a_quantised_base_is_never_there_in_full() -> None:
    start, options = model("qwen2"), LowRankOptions(rank=2, quantized=True)
    family = Registry.load().family("qwen2")
    tensors = Watched(start.tensors)
    with torch.device("meta"):
        tensors.decoder = Decoder(Plan.of(start.config, family, start.tensors))

    quantize(tensors.decoder, options)
    populate(tensors.decoder, tensors)

    assert max(tensors.held) == 0
    assert len(tensors.held) == len(start.tensors)


def test_a_base_is_quantised_alike_while_it_is_loaded_and_after() -> None:
    start, options = model("qwen2"), LowRankOptions(rank=2, quantized=True)
    family = Registry.load().family("qwen2")
    outline = partial(quantize, options=options)

    found, after = loaded(start, family, prepare=outline), loaded(start, family)
    for each in (found, after):
        adapt(each.decoder, options, seed=1)

    assert found.shapes == after.shapes
    ours, theirs = found.decoder.state_dict(), after.decoder.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
