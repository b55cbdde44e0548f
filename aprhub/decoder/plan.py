"""What a decoder is built from: a configuration, a family, the weights there are."""

from collections.abc import Collection, Iterator, Mapping

from attrs import frozen

from aprhub.errors import ModelCheckError
from aprhub.ir.config import ModelConfig
from aprhub.ir.model import HEAD
from aprhub.spec.family import DecoderSpec, Family, WeightSpec, evaluated

SLIDING = "sliding"


@frozen
class Plan:
    """A configuration with what the family adds to it.

    `shapes` has all weights of the model by canonical name.
    """

    config: ModelConfig
    family: str
    spec: DecoderSpec
    norm_offset: float
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(
        cls, config: ModelConfig, family: Family, present: Collection[str] = ()
    ) -> "Plan":
        """Return the plan of a model; `present` says which optional weights it has.

        Raises ModelCheckError for a family that is no decoder of the known parts, and
        for a model that is bidirectional.
        """
        if family.decoder is None:
            what = "its table has no [decoder], which says how it computes; add one"
            raise ModelCheckError(f"family {family.name}", what)
        if config.bidirectional:
            what = (
                "its tokens see those behind them, so that it embeds texts and"
                " continues none; take a model that does"
            )
            raise ModelCheckError("bidirectional", what)
        shapes = dict(_shapes(config, family, present))
        return cls(config, family.name, family.decoder, family.norm_offset, shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a weight; raises ModelCheckError if there is none."""
        if name not in self.shapes:
            what = f"its table has no {name}, which the decoder needs; add it"
            raise ModelCheckError(f"family {self.family}", what)
        return self.shapes[name]

    def has(self, name: str) -> bool:
        """Whether the model has a weight."""
        return name in self.shapes

    def size(self, field: str) -> int:
        """Return a size of the configuration; raises ModelCheckError without it."""
        return evaluated(field, self.config)

    def number(self, field: str) -> float:
        """Return a number of the configuration; raises ModelCheckError without it."""
        value = getattr(self.config, field)
        if value is None:
            raise ModelCheckError(
                "configuration",
                f"{field} is not known: the model does not say it; set it with 'aprhub"
                " stamp --set'",
            )
        return float(value)

    def is_sliding(self, layer: int) -> bool:
        """Whether a layer looks back through a window."""
        kinds = self.config.layer_kinds
        if kinds is None:
            return self.config.sliding_window is not None
        return kinds[layer] == SLIDING

    def window(self, layer: int) -> int | None:
        """Return how many positions a layer sees, its own included; None for all."""
        return self.size("sliding_window") if self.is_sliding(layer) else None


def _shapes(
    config: ModelConfig, family: Family, present: Collection[str]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for weight in family.weights:
        for name in weight.names(config):
            if _is_expected(weight, config, there=name in present):
                yield name, weight.expected_shape(config)


def _is_expected(weight: WeightSpec, config: ModelConfig, *, there: bool) -> bool:
    """Return whether a model has a weight, by its table and what is there."""
    if weight.role == HEAD:
        return not config.tie_embeddings
    wanted = None if weight.when is None else getattr(config, weight.when)
    if wanted is not None:
        return bool(wanted)
    return there or not (weight.optional or weight.when)
