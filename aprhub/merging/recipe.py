"""Recipes: what is merged, by which method, with which parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from aprhub.errors import (
    UsageError,
    near_miss,
)
from aprhub.merging.parameters import Parameters

DTYPES: Final = {
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "f32": "f32",
    "f16": "f16",
    "bf16": "bf16",
}
"""How the floats of a result can be stored, by the names that recipes give."""

WORDS: Final = ("union", "base")
"""Whose tokens a result can have, besides those of a model."""


@frozen
class Ingredient:
    """A model in a slice, or a run of its layers, with parameters of its own.

    `layers` is None for all of them.
    """

    model: Path
    layers: range | None = None
    parameters: Parameters = field(factory=dict)


@frozen
class Slice:
    """Layers of the result, each made of one layer of every ingredient."""

    ingredients: tuple[Ingredient, ...]
    base: Path | None = None
    parameters: Parameters = field(factory=dict)


@frozen
class TokenRule:
    """Where the embedding of a token comes from, if a model lacks the token.

    `source` is a model, `zero`, or None: by itself. `token` is another token of that
    model, or its id. With `force` the models that have the token take it from there
    too.
    """

    source: Path | str | None = None
    token: str | int | None = None
    force: bool = False


@frozen
class TokenizerPolicy:
    """Which tokens the result has: those of the `base`, of a model, or the `union`."""

    source: Path | str
    tokens: Mapping[str, TokenRule] = field(factory=dict)
    pad_to_multiple_of: int | None = None


@frozen
class Recipe:
    """All that decides a merge.

    `base` is the model that the others are compared with, and that gives the result
    its configuration and tokenizer; without one, the first model gives these. `dtype`
    is that of the result; without one, each tensor keeps that of the base. `seed`
    decides what methods draw at random. `chat_template` is a template, or `auto` for
    the one that most models have. `told` is what the lineage says of the recipe.
    """

    method: str
    slices: tuple[Slice, ...]
    base: Path | None = None
    parameters: Parameters = field(factory=dict)
    dtype: str | None = None
    tokenizer: TokenizerPolicy | None = None
    chat_template: str | None = None
    seed: int = 0
    told: Mapping[str, Any] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Refuse what no merge could be made of."""
        if self.dtype is not None and self.dtype not in DTYPES:
            near = near_miss(self.dtype, DTYPES)
            listed = ", ".join(DTYPES)
            raise UsageError(f"dtype is {self.dtype!r:.80}; give one of {listed}{near}")
        if not 0 <= self.seed < 1 << 63:
            raise UsageError(f"seed is {self.seed}; give one from 0 to 2^63 - 1")
        if not all(each.ingredients for each in self.slices) or not self.slices:
            raise UsageError("no models to merge; name one or more, for each slice")

    @property
    def models(self) -> tuple[Path, ...]:
        """All models in the order of the recipe, each once, the base first."""
        named = [self.base, *(each.base for each in self.slices)]
        used = (each.model for part in self.slices for each in part.ingredients)
        return tuple(dict.fromkeys(path for path in (*named, *used) if path))
