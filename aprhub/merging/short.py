"""Recipes as a command line gives them: short, for what fits a line."""

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from aprhub.errors import UsageError
from aprhub.merging.parameters import Choice
from aprhub.merging.recipe import WORDS, Ingredient, Recipe, Slice, TokenizerPolicy


@frozen
class ShortForm:
    """A recipe as a command line gives it: models, and parameters by name.

    A parameter has the values of the models in their order, or one for all.
    """

    method: str
    models: tuple[Path, ...]
    base: Path | None = None
    parameters: Mapping[str, tuple[object, ...]] = {}
    dtype: str | None = None
    tokenizer: str | None = None
    seed: int = 0

    def recipe(self) -> Recipe:
        """Return the recipe; raise UsageError where values and models do not match."""
        others = [path for path in self.models if path != self.base]
        single = {n: v for n, v in self.parameters.items() if len(v) == 1}
        several = {n: v for n, v in self.parameters.items() if n not in single}
        own: dict[Path, dict[str, tuple[Choice]]] = {path: {} for path in self.models}
        for name, values in several.items():
            owners = others if len(values) == len(others) else self.models
            if len(values) != len(owners):
                besides = " besides the base" if self.base else ""
                raise UsageError(
                    f"{name}: {len(values)} values for {len(others)} models{besides};"
                    " give one, or one for each"
                )
            for path, value in zip(owners, values, strict=True):
                own[path][name] = (Choice((value,)),)
        ingredients = tuple(Ingredient(path, None, own[path]) for path in self.models)
        source = self.tokenizer
        words = source if source in WORDS else Path(source) if source else None
        return Recipe(
            self.method,
            (Slice(ingredients),),
            self.base,
            {name: (Choice(values),) for name, values in single.items()},
            self.dtype,
            TokenizerPolicy(words) if words else None,
            seed=self.seed,
            told=self._told(),
        )

    def _told(self) -> Mapping[str, object]:
        values = {name: list(values) for name, values in self.parameters.items()}
        return {"method": self.method, "parameters": values, "dtype": self.dtype}
