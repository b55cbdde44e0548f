"""Family: what every model of one architecture is made of, as data."""

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from attrs import field, frozen

from aprhub.errors import ModelCheckError
from aprhub.ir.config import Identity, ModelConfig

LAYER: Final = "{i}"
EXPERT: Final = "{j}"
"""What stands in roles for the number of a layer and that of an expert."""

MAX_EXPERTS: Final = 1 << 12
"""More experts in a layer than any model has."""

_LAYER_NUMBER = re.compile(r"^layers\.(0|[1-9][0-9]*)\.")
_EXPERT_NUMBER = re.compile(r"\.experts\.(0|[1-9][0-9]*)\.")


def role_of(name: str) -> str:
    """Return the role of a canonical name: placeholders stand for its numbers."""
    role = _LAYER_NUMBER.sub(f"layers.{LAYER}.", name, 1)
    return _EXPERT_NUMBER.sub(f".experts.{EXPERT}.", role, 1)


@frozen
class WeightSpec:
    """One weight of a family.

    `role` is the canonical name, with `{i}` for the layer and `{j}` for the expert.
    `shape` holds products of configuration fields, such as `num_heads * head_dim`.
    `when` names a configuration
    flag: the weight is there when it is true, absent when it is false, and optional
    when it is None; a weight without `when` is required unless `optional`.
    """

    role: str
    shape: tuple[str, ...]
    optional: bool = False
    when: str | None = None

    def names(self, config: ModelConfig) -> Iterator[str]:
        """Yield the canonical name in each layer and of each expert, or the one."""
        layers = config.num_layers if LAYER in self.role else 1
        experts = config.num_experts if EXPERT in self.role else 1
        yield from self.names_of(range(layers or 0), range(experts or 0))

    def names_of(
        self, layers: Collection[int], experts: Collection[int]
    ) -> Iterator[str]:
        """Yield the name in each of these layers and of each of these experts."""
        for layer in layers if LAYER in self.role else (0,):
            for expert in experts if EXPERT in self.role else (0,):
                yield self.role.format(i=layer, j=expert)

    def expected_shape(self, config: ModelConfig) -> tuple[int, ...]:
        """Return the shape in elements that the configuration determines.

        Raises ModelCheckError when the configuration lacks a field of the formula.
        """
        return tuple(evaluated(formula, config) for formula in self.shape)


def evaluated(formula: str, config: ModelConfig) -> int:
    """Return a product of configuration fields and numbers, such as `2 * head_dim`.

    Raises ModelCheckError when the configuration lacks one of the fields.
    """
    product = 1
    for factor in formula.split("*"):
        name = factor.strip()
        value = int(name) if name.isdigit() else getattr(config, name)
        if not isinstance(value, int):
            raise ModelCheckError(
                "configuration",
                f"{name} is not known, by the file or by its tensors; add it to"
                " config.json, or make the file again from a model that says it",
            )
        product *= value
    return product


@frozen
class DecoderSpec:
    """That a family is a decoder of the usual parts, and how it differs from them.

    The parts are layers of causal attention with rotary positions, and of a gated
    feed-forward network, each between RMS norms and added to what came in; which of
    them have biases or further norms, the weights say. With `scaled_embedding`,
    embeddings are multiplied by the root of `hidden_size`; with `normed_shares`, those
    of the chosen experts sum to one, unless the configuration says (`norm_topk_prob`).
    """

    scaled_embedding: bool = False
    normed_shares: bool = False


@frozen
class Family:
    """An architecture: the names it goes by, its weights, and its fixed properties.

    `slug` is what APR calls it, `ggml_architecture` what GGUF does; `aliases` are
    further names that files use for it. `defaults` are values that files of any world
    may leave out, `hf_defaults` those that only a `config.json` may, by configuration
    field; a string is a formula as in `WeightSpec`. `hf_constants` are keys that a
    `config.json` needs beyond the fields. `rope_pairs` is how ggml pairs rotary
    elements: `interleaved`, or `halves` as everybody else. `norm_offset` is what the
    architecture adds to its stored norm weights before it multiplies with them.
    `layer_pattern` says that all layers but every n-th use sliding-window attention.
    `decoder` says how the model computes; without it, nothing runs the model here.
    """

    name: str
    slug: str
    ggml_architecture: str
    hf_classes: tuple[str, ...]
    hf_model_types: tuple[str, ...]
    weights: tuple[WeightSpec, ...]
    aliases: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(factory=dict)
    hf_defaults: Mapping[str, Any] = field(factory=dict)
    hf_constants: Mapping[str, Any] = field(factory=dict)
    rope_pairs: str = "halves"
    norm_offset: float = 0.0
    layer_pattern: int | None = None
    decoder: DecoderSpec | None = None

    @property
    def claims(self) -> frozenset[str]:
        """Return every name by which a file may claim to be of this family."""
        return self._own_names | {self.ggml_architecture}

    @property
    def _own_names(self) -> frozenset[str]:
        names = (self.name, self.slug, *self.aliases)
        return frozenset((*names, *self.hf_classes, *self.hf_model_types))

    def is_claimed_by(self, identity: Identity) -> bool:
        """Return whether all claims of a file can mean this family.

        Several families may share a ggml architecture, which is no word of a Hugging
        Face file.
        """
        said = {identity.hf_class, identity.hf_model_type} - {None}
        architecture = identity.architecture
        known = architecture is None or architecture in self.claims
        return known and said <= self._own_names

    def spec(self, name: str) -> WeightSpec | None:
        """Return the weight that a canonical name belongs to."""
        return self._by_role.get(role_of(name))

    def weight(self, role: str) -> WeightSpec:
        """Return the weight of a role, which is one of the family's."""
        return self._by_role[role]

    @cached_property
    def _by_role(self) -> dict[str, WeightSpec]:
        return {each.role: each for each in self.weights}

    def roles(self) -> frozenset[str]:
        """Return the roles of all weights."""
        return frozenset(self._by_role)
