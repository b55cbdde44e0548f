"""Pico models: every family in memory, small enough to convert in a moment.

They are made from the families' own tables, so a new family has one at once. Weights
are random and seeded; all are finite, and those of norms are multiples of 1/64, which
every offset of a norm leaves exact.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.api import (
    ENCODINGS,
    Encoding,
    Family,
    LineageStep,
    Memory,
    ModelConfig,
    ModelIR,
    Provenance,
    RopeScaling,
    SamplingDefaults,
    Tensor,
    WeightSpec,
)
from aprhub.registry import Registry
from aprhub.spec.family import evaluated
from aprhub.testing.tokenizer import pico_tokenizer

SIZES: Final[Mapping[str, Any]] = {
    "hidden_size": 64,
    "num_layers": 2,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 16,
    "vocab_size": 288,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
    "norm_eps": 1e-5,
}
"""Sizes that every family can have; there are more rows than tokens."""

EXPERT_SIZES: Final[Mapping[str, int]] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_intermediate_size": 160,
}
"""Sizes of families with experts, where their weights have them."""

PROVENANCE: Final = Provenance(
    name="Pico",
    description="random weights",
    author="A. Tester",
    version="1.0",
    license="apache-2.0",
    data_source="a seeded generator",
    data_license="cc0-1.0",
    source="https://example.org/pico",
    lineage=(LineageStep("made", {"seed": "sha256:00"}, {"seed": 0}, {"pico": "1"}),),
)

SAMPLING: Final = SamplingDefaults(temperature=0.6, top_k=20)

CARRIED: Final[Mapping[str, Mapping[str, Any]]] = {
    "acme": {"acme.flag": True, "acme.list": [1, "two", {"three": 3.5}]},
    "hf": {"generation_config.json": '{"temperature": 0.6, "top_k": 20}'},
}


@frozen
class Pico:
    """A recipe: a family's name, what its configuration has besides, encodings.

    The matrices have the `matrices` encodings in turn, where their rows fit its
    blocks, else the last of them; everything else has that of `vectors`.
    """

    family: str
    config: Mapping[str, Any] = field(factory=dict)
    matrices: tuple[str, ...] = ("bf16",)
    vectors: str = "f32"

    def model(self, registry: Registry, **chosen: Any) -> ModelIR:
        """Return the model, with further configuration chosen."""
        family = registry.family(self.family)
        return pico_model(family, self, {**self.config, **chosen})


_WIDE_HEADS: Final = {"head_dim": 24}
_LONG_ROPE: Final = RopeScaling(
    "longrope",
    original_max_position_embeddings=32,
    short_factor=(1.0, 1.125, 1.25, 1.5),
    long_factor=(1.0, 2.0, 4.0, 8.0),
)
_LLAMA3_ROPE: Final = RopeScaling("llama3", 8.0, 8192, 1.0, 4.0)

PICOS: Final[Mapping[str, Pico]] = {
    "gemma": Pico("gemma", {**_WIDE_HEADS, "tie_embeddings": True}, ("bf16",)),
    "gemma2": Pico("gemma2", {**_WIDE_HEADS, "tie_embeddings": True}, ("f16",)),
    "gemma3": Pico("gemma3", {**_WIDE_HEADS, "tie_embeddings": True}, ("bf16",)),
    "gemma3-narrow-norms": Pico("gemma3", {"tie_embeddings": True}, vectors="bf16"),
    "llama": Pico("llama", _WIDE_HEADS, ("f32", "f16", "bf16")),
    "llama-biased": Pico("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-quantised": Pico("llama", matrices=("q8_0", "q4_0", "f16")),
    "llama-rope": Pico("llama", {"rope_theta": 5e5, "rope_scaling": _LLAMA3_ROPE}),
    "llama-tied": Pico("llama", {"tie_embeddings": True}, ("f16",), "f16"),
    "mixtral": Pico("mixtral", _WIDE_HEADS, ("f16",)),
    "mixtral-quantised": Pico("mixtral", matrices=("q8_0",)),
    "phi3": Pico("phi3", {"rotary_dim": 8, "rope_scaling": _LONG_ROPE}),
    "phi3-quantised": Pico("phi3", matrices=("q8_0",)),
    "qwen2_moe": Pico("qwen2_moe"),
    "qwen3_moe": Pico("qwen3_moe", {**_WIDE_HEADS, "tie_embeddings": True}),
    "mistral": Pico("mistral", {**_WIDE_HEADS, "sliding_window": 32}),
    "qwen2": Pico("qwen2", matrices=("f16",)),
    "qwen3": Pico("qwen3", {**_WIDE_HEADS, "tie_embeddings": True}, vectors="bf16"),
}
"""The models that every format is tried with, by a name that says what is special."""


def pico_config(family: Family, chosen: Mapping[str, Any] | None = None) -> ModelConfig:
    """Return the configuration of a pico model: small sizes, the family's defaults.

    Flags that decide which weights there are, ties included, are off unless chosen.
    """
    flags = {each.when: False for each in family.weights if each.when}
    sizes = {**SIZES, **_expert_sizes(family)}
    values = {**sizes, **flags, "tie_embeddings": False, **(chosen or {})}
    if family.layer_pattern:
        kinds = _layer_kinds(values["num_layers"], family.layer_pattern)
        values = {"sliding_window": 32, "layer_kinds": kinds, **values}
    config = ModelConfig(family=family.name, **values)
    return config.filled(
        {name: _default(value, config) for name, value in family.defaults.items()}
    )


def _expert_sizes(family: Family) -> dict[str, int]:
    formulas = " ".join(size for weight in family.weights for size in weight.shape)
    used = {name for name in EXPERT_SIZES if name in formulas}
    if used:
        used.add("num_experts_per_tok")
    return {name: size for name, size in EXPERT_SIZES.items() if name in used}


def _layer_kinds(layers: int, pattern: int) -> tuple[str, ...]:
    return tuple("sliding" if (i + 1) % pattern else "full" for i in range(layers))


def _default(value: Any, config: ModelConfig) -> Any:
    """Return a default; a text that names fields of the configuration is a formula."""
    if isinstance(value, str) and hasattr(config, value.split()[0]):
        return evaluated(value, config)
    return value


def pico_model(
    family: Family,
    recipe: Pico | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> ModelIR:
    """Return a canonical model with all the weights that its configuration asks for."""
    config = pico_config(family, chosen)
    recipe = recipe or Pico(family.name)
    return ModelIR(
        config,
        _tensors(family, config, recipe),
        pico_tokenizer(),
        PROVENANCE,
        CARRIED,
        sampling=SAMPLING,
    )


def _tensors(family: Family, config: ModelConfig, recipe: Pico) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for place, weight in enumerate(family.weights):
        for name in weight.names(config) if _is_wanted(weight, config) else ():
            shape = weight.expected_shape(config)
            encoding = _encoding(recipe, shape, place)
            found[name] = random_tensor(shape, encoding, seed=len(found))
    return found


def _is_wanted(weight: WeightSpec, config: ModelConfig) -> bool:
    if weight.when:
        return bool(getattr(config, weight.when))
    return not (weight.optional and config.tie_embeddings)


def _encoding(recipe: Pico, shape: tuple[int, ...], place: int) -> Encoding:
    if len(shape) < 2:
        return ENCODINGS[recipe.vectors]
    turn = ENCODINGS[recipe.matrices[place % len(recipe.matrices)]]
    fits = shape[-1] % turn.block_elements == 0
    return turn if fits else ENCODINGS[recipe.matrices[-1]]


def random_tensor(shape: tuple[int, ...], encoding: Encoding, *, seed: int) -> Tensor:
    """Return a seeded tensor of finite values.

    Vectors are in steps of 1/64; matrices have a negative zero and numbers without an
    exact decimal form; block types are random packed bytes.
    """
    random = np.random.default_rng(seed)
    if encoding.dtype is None:
        return Tensor(shape, encoding, Memory(_packed(random, encoding.nbytes(shape))))
    if len(shape) < 2:
        return Tensor.of((random.integers(-32, 33, shape) / 64).astype(encoding.dtype))
    values = random.standard_normal(shape, np.float32)
    values.reshape(-1)[:3] = -0.0, 2.0**-20, -np.pi
    return Tensor.of(values.astype(encoding.dtype))


def _packed(random: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Return bytes in which no half or single float, wherever it lies, is infinite."""
    return np.frombuffer(random.bytes(count), np.uint8) & np.uint8(0xBF)
