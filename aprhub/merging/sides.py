"""Sides: which models of a slice are merged, which is the base, and which layers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from aprhub.errors import ModelCheckError, UsageError
from aprhub.ir.model import ModelIR
from aprhub.merging.parameters import Parameters
from aprhub.merging.recipe import Ingredient, Recipe, Slice
from aprhub.spec.merging import MergeMethod

Models = Mapping[Path, ModelIR]


@frozen
class Side:
    """A model in a slice, and those of its layers that the slice is made of."""

    model: Path
    layers: range
    parameters: Parameters


@frozen
class Sides:
    """The models of a slice: those that are merged, and the base, if it counts."""

    models: tuple[Side, ...]
    base: Side | None
    parameters: Parameters

    @property
    def all(self) -> tuple[Side, ...]:
        """All of them, the base first."""
        return (*([self.base] if self.base else []), *self.models)

    @property
    def depth(self) -> int:
        """How many layers the slice has."""
        return len(self.all[0].layers)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The models, the base first."""
        return tuple(side.model for side in self.all)


def sides_of(part: Slice, recipe: Recipe, method: MergeMethod, models: Models) -> Sides:
    """Return the sides of a slice.

    Raises UsageError for a base or a number of models that the method does not take,
    and ModelCheckError, naming the model, for layers that it does not have.
    """
    listed = [_side(each, models) for each in part.ingredients]
    named = part.base or recipe.base
    if method.base == "none":
        base = None
        _require_listed(named, listed, method)
    else:
        base = _base(named, listed, method)
    if base is None and named is not None and method.base != "none":
        base = _added(named, part, models)
    sides = Sides(
        tuple(each for each in listed if each is not base), base, part.parameters
    )
    _check_count(len(sides.models), method)
    _check_depths(sides.all)
    return sides


def _side(each: Ingredient, models: Models) -> Side:
    count = models[each.model].config.num_layers or 0
    layers = range(count) if each.layers is None else each.layers
    if layers.stop > count:
        raise ModelCheckError(
            each.model,
            f"has {count} layers, but the recipe takes {layers.start} to"
            f" {layers.stop - 1}; give a layer_range that ends at {count} or before",
        )
    return Side(each.model, layers, each.parameters)


def _require_listed(
    named: Path | None, listed: Sequence[Side], method: MergeMethod
) -> None:
    """Accept a base that is one of the models, where the method compares with none."""
    if named is not None and all(each.model != named for each in listed):
        raise UsageError(
            f"{method.name} compares with no base; list {named} among the models, or"
            " leave it out"
        )


def _base(
    named: Path | None, listed: Sequence[Side], method: MergeMethod
) -> Side | None:
    """Return the side that is the base; None if it is not among them."""
    if named is None and method.base == "first":
        return listed[0]
    if named is None and method.base == "required":
        raise UsageError(
            f"{method.name} compares with a base; name it with --base, or as base_model"
            " in a recipe"
        )
    found = next((each for each in listed if each.model == named), None)
    if found and found.parameters:
        where = next(iter(found.parameters.values()))[0].where
        raise UsageError(
            f"{where}: {named} is the base, which has no parameters of its own; leave"
            " them out"
        )
    return found


def _added(named: Path, part: Slice, models: Models) -> Side:
    """Return the base of a slice that does not list it, which takes all layers."""
    if any(each.layers is not None for each in part.ingredients):
        raise UsageError(
            f"{named} is the base, but not among the sources of a slice; add it there,"
            " with the layer_range to compare with"
        )
    return _side(Ingredient(named), models)


def _check_count(count: int, method: MergeMethod) -> None:
    least, most = method.models
    if count < least or (most is not None and count > most):
        wanted = "1 model" if least == 1 else f"{least} models"
        wanted += "" if least == most else " or more"
        besides = "" if method.base == "none" else " besides the base"
        raise UsageError(
            f"{method.name} merges {wanted}{besides}, not {count}; give as many,"
            " or choose another method"
        )


def _check_depths(sides: Sequence[Side]) -> None:
    first = sides[0]
    for each in sides:
        if len(each.layers) != len(first.layers):
            raise ModelCheckError(
                each.model,
                f"has {len(each.layers)} layers and {first.model} {len(first.layers)};"
                " say with slices which of them go together",
            )
