"""Family: what every model of one architecture is made of, as data."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from aprhub.errors import ModelCheckError
from aprhub.ir.config import Identity, ModelConfig


@frozen
class WeightSpec:
    """One weight of a family.

    `role` is the canonical name, with `{i}` for the layer. `shape` holds products of
    configuration fields, such as `num_heads * head_dim`. `when` names a configuration
    flag: the weight is there when it is true, absent when it is false, and optional
    when it is None; a weight without `when` is required unless `optional`.
    """

    role: str
    shape: tuple[str, ...]
    optional: bool = False
    when: str | None = None

    @property
    def is_layered(self) -> bool:
        """Whether there is one of these in each layer."""
        return "{i}" in self.role

    def names(self, config: ModelConfig) -> Iterator[str]:
        """Yield the canonical name in each layer, or the one name."""
        if not self.is_layered:
            yield self.role
            return
        for layer in range(config.num_layers or 0):
            yield self.role.format(i=layer)

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
            raise ModelCheckError("configuration", f"{name} is not known")
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
        role = re.sub(r"^layers\.(0|[1-9]\d*)\.", "layers.{i}.", name)
        return next((each for each in self.weights if each.role == role), None)

    def roles(self) -> frozenset[str]:
        """Return the roles of all weights."""
        return frozenset(each.role for each in self.weights)
