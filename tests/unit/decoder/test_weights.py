"""What goes into a decoder, what is refused, and that it can be trained."""

import subprocess
import sys
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from torch.utils.checkpoint import checkpoint

from aprhub import ModelIR, Registry, Tensor
from aprhub.api import Family, RopeScaling, WeightSpec
from aprhub.decoder.model import Decoder
from aprhub.decoder.plan import Plan
from aprhub.decoder.weights import loaded, populate
from aprhub.errors import ModelCheckError
from aprhub.lift import decodable
from aprhub.testing.models import PICOS

REGISTRY = Registry.load()
IDS = torch.arange(24)[None] * 5 % 288


def pico(name: str) -> tuple[ModelIR, Family]:
    model = PICOS[name].model(REGISTRY)
    assert model.config.family
    tensors = decodable(model.tensors, REGISTRY)
    return evolve(model, tensors=tensors), REGISTRY.family(model.config.family)


def without(model: ModelIR, *names: str) -> ModelIR:
    kept = {name: each for name, each in model.tensors.items() if name not in names}
    return evolve(model, tensors=kept)


@pytest.mark.parametrize("name", PICOS)
def test_every_parameter_is_the_tensor_of_its_name(name: str) -> None:
    model, family = pico(name)

    found = loaded(model, family)

    parameters = dict(found.decoder.named_parameters())
    assert parameters.keys() == model.tensors.keys()
    assert found.extras == ()
    for name, parameter in parameters.items():
        values = model.tensors[name].numpy().astype(np.float32)
        assert np.array_equal(parameter.detach().numpy(), values), name


@pytest.mark.parametrize("name", PICOS)
def test_a_decoder_is_ready_to_be_trained(name: str) -> None:
    decoder = loaded(*pico(name)).decoder
    assert not decoder.training

    decoder.train()(IDS).logsumexp(-1).sum().backward()

    assert all(each.requires_grad for each in decoder.parameters())
    assert all(each.grad is not None for each in decoder.parameters())


def test_layers_can_be_computed_again_for_their_gradients() -> None:
    plain = loaded(*pico("qwen3")).decoder
    again = deepcopy(plain)
    for layer in again.layers:
        forward = layer.forward
        layer.forward = lambda *given, forward=forward: checkpoint(
            forward, *given, use_reentrant=False
        )

    for decoder in (plain, again):
        decoder(IDS).square().mean().backward()

    for (name, one), other in zip(
        plain.named_parameters(), again.parameters(), strict=True
    ):
        assert torch.equal(one.grad, other.grad), name  # type: ignore[arg-type]  # both were computed


def test_a_decoder_runs_in_bf16() -> None:
    model, family = pico("gemma3")
    wide = loaded(model, family).decoder
    narrow = loaded(model, family, dtype=torch.bfloat16).decoder

    found, expected = narrow(IDS), wide(IDS)

    assert found.dtype == torch.bfloat16
    spread = expected.max() - expected.min()
    assert (found - expected).abs().max() < 0.05 * spread


def test_missing_and_misshapen_tensors_are_all_named() -> None:
    model, family = pico("llama")
    tensors = dict(without(model, "norm.weight", "layers.1.attn.q.weight").tensors)
    tensors["layers.0.ffn.up.weight"] = Tensor.of(np.ones((3, 64), np.float32))

    with pytest.raises(ModelCheckError) as refusal:
        loaded(evolve(model, tensors=tensors), family)

    text = str(refusal.value)
    assert "FALSIFY-APR-PRETRAIN-INIT-007" in text
    assert "norm.weight: not present in init APR" in text
    assert "layers.1.attn.q.weight: not present in init APR" in text
    assert "layers.0.ffn.up.weight: has shape (3, 64), expected (96, 64)" in text


def test_a_decoder_that_is_refused_its_weights_is_unchanged() -> None:
    model, family = pico("llama")
    decoder = Decoder(Plan.of(model.config, family))
    before = deepcopy(decoder.state_dict())

    with pytest.raises(ModelCheckError):
        populate(decoder, without(model, "norm.weight").tensors)

    assert all(
        torch.equal(each, before[name]) for name, each in decoder.state_dict().items()
    )


def test_tensors_that_are_no_parameter_are_listed() -> None:
    model, family = pico("llama-tied")
    head = Tensor.of(np.ones((288, 64), np.float32))
    extra = evolve(model, tensors={**model.tensors, "head.weight": head})

    assert loaded(extra, family).extras == ("head.weight",)


def refusal(model: ModelIR, family: Family) -> str:
    with pytest.raises(ModelCheckError) as refused:
        loaded(model, family).decoder(IDS)
    return str(refused.value)


def test_a_family_that_does_not_say_how_it_computes_is_refused() -> None:
    model, family = pico("llama")

    text = refusal(model, evolve(family, decoder=None))

    assert "family llama: its table has no [decoder]" in text


def test_a_part_that_the_decoder_lacks_is_refused_by_name() -> None:
    model, family = pico("llama")
    sinks = WeightSpec("layers.{i}.attn.sinks", ("num_heads",))

    text = refusal(model, evolve(family, weights=(*family.weights, sinks)))

    assert "family llama: the decoder cannot compute it" in text
    assert "layers.1.attn.sinks: no part of the decoder reads it" in text


def test_a_family_without_a_part_that_the_decoder_needs_is_refused() -> None:
    model, family = pico("llama")
    weights = tuple(each for each in family.weights if ".gate." not in each.role)

    text = refusal(model, evolve(family, weights=weights))

    assert "table has no layers.0.ffn.gate.weight, which the decoder needs" in text


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"activation": "quick_gelu"}, "activation: 'quick_gelu' is not one of"),
        ({"activation": None}, "activation: None is not one of"),
        ({"rope_scaling": RopeScaling("spiral")}, "'spiral' is no known kind"),
        ({"rope_scaling": RopeScaling("yarn")}, "yarn needs"),
        ({"rope_scaling": RopeScaling("longrope", 2.0, 8)}, "longrope needs"),
        ({"rope_theta": None}, "rope_theta is not known"),
        ({"bidirectional": True}, "bidirectional: its tokens see those behind them"),
        ({"layer_kinds": ("sliding", "full")}, "sliding_window is not known"),
    ],
    ids=str,
)
def test_what_a_configuration_asks_in_vain_is_refused(
    change: dict[str, Any], named: str
) -> None:
    model, family = pico("llama")

    assert named in refusal(
        evolve(model, config=evolve(model.config, **change)), family
    )


def test_without_torch_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from aprhub.errors import EnvironmentFailureError\n"
        "try:\n    import aprhub.decoder.model\n"
        "except EnvironmentFailureError as error:\n    print(error)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "running a model needs torch: pip install 'aprhub[train]'\n"
