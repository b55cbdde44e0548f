"""What a decoder is built from: a configuration, a family, and the parts there are."""

from collections.abc import Collection, Iterator

from attrs import frozen

from aprhub.errors import ModelCheckError
from aprhub.ir.config import ModelConfig
from aprhub.ir.model import HEAD
from aprhub.spec.family import DecoderSpec, Family, WeightSpec, evaluated

SLIDING = "sliding"


@frozen
class Plan:
    """A configuration with what the family adds to it.

    `names` are the canonical names of all weights that the model has.
    """

    config: ModelConfig
    family: str
    spec: DecoderSpec
    norm_offset: float
    names: frozenset[str]

    @classmethod
    def of(
        cls, config: ModelConfig, family: Family, present: Collection[str] = ()
    ) -> "Plan":
        """Return the plan of a model; `present` says which optional weights it has.

        Raises ModelCheckError for a family that is no decoder of the known parts.
        """
        if family.decoder is None:
            raise ModelCheckError(
                family.name, "the family does not say how its models compute"
            )
        names = frozenset(_names(config, family, present))
        return cls(config, family.name, family.decoder, family.norm_offset, names)

    def size(self, formula: str) -> int:
        """Return a product of sizes, such as `num_heads * head_dim`.

        Raises ModelCheckError when the configuration lacks one of them.
        """
        return evaluated(formula, self.config)

    def number(self, field: str) -> float:
        """Return a number of the configuration; raises ModelCheckError without it."""
        value = getattr(self.config, field)
        if value is None:
            raise ModelCheckError("configuration", f"{field} is not known")
        return float(value)

    def has(self, name: str) -> bool:
        """Whether the model has a weight."""
        return name in self.names

    def is_sliding(self, layer: int) -> bool:
        """Whether a layer looks back through a window."""
        kinds = self.config.layer_kinds
        if kinds is None:
            return self.config.sliding_window is not None
        return kinds[layer] == SLIDING

    def window(self, layer: int) -> int | None:
        """Return how many positions a layer sees, its own included; None for all."""
        return self.size("sliding_window") if self.is_sliding(layer) else None


def _names(
    config: ModelConfig, family: Family, present: Collection[str]
) -> Iterator[str]:
    for weight in family.weights:
        for name in weight.names(config):
            if _is_expected(weight, config, there=name in present):
                yield name


def _is_expected(weight: WeightSpec, config: ModelConfig, *, there: bool) -> bool:
    """Return whether a model has a weight, by its table and what is there."""
    if weight.role == HEAD:
        return not config.tie_embeddings
    wanted = None if weight.when is None else getattr(config, weight.when)
    if wanted is not None:
        return bool(wanted)
    return there or not (weight.optional or weight.when)
