"""The plan of a merge: which tensors make each tensor of the result, and how."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from aprhub.errors import Fault, ModelCheckError, UsageError
from aprhub.ir.config import ModelConfig
from aprhub.ir.model import EMBEDDING, HEAD, ModelIR
from aprhub.merging.parameters import Choice, Parameters, Place, settings
from aprhub.merging.recipe import Recipe
from aprhub.merging.sides import Models, Side, Sides, sides_of
from aprhub.spec.merging import MergeMethod, Settings

_LAYER: Final = re.compile(r"layers\.(\d+)\.(.+)")


@frozen
class Origin:
    """A tensor of a model."""

    model: Path
    name: str


@frozen
class Planned:
    """A tensor of the result: its name, what it is made of, and the parameters."""

    name: str
    models: tuple[Origin, ...]
    base: Origin | None
    settings: Settings

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All that it is made of, the base first."""
        return (*([self.base] if self.base else []), *self.models)


@frozen
class Plan:
    """What the result consists of, and its configuration, but for the vocabulary.

    `models` have the tensors that the plan names.
    """

    tensors: tuple[Planned, ...]
    config: ModelConfig
    models: Models


def planned(
    recipe: Recipe, method: MergeMethod, models: Models, spelled: Callable[[str], str]
) -> Plan:
    """Return the plan of a recipe; `spelled` gives names as filters know them.

    Raises UsageError for what the method does not allow, and ModelCheckError, naming
    the model, where layers or tensors are missing. Reads no tensor.
    """
    _check_parameters(recipe, method)
    sides = tuple(sides_of(part, recipe, method, models) for part in recipe.slices)
    tied = _tied(sides, models)
    if not tied:
        models = {path: _with_head(model) for path, model in models.items()}
    outlines = {path: Outline.of(model) for path, model in models.items()}
    planning = _Planning(recipe.parameters, method, outlines, spelled)
    tensors = (
        *planning.ends(sides[0], after=False),
        *(each for layer in _layers(sides) for each in planning.layer(*layer)),
        *planning.ends(sides[-1], after=True),
    )
    _check_filters(recipe, [spelled(each.name) for each in tensors])
    config = evolve(
        models[recipe.models[0]].config,
        num_layers=sum(each.depth for each in sides),
        layer_kinds=_layer_kinds(sides, models),
        tie_embeddings=tied,
    )
    return Plan(tensors, config, models)


def _with_head(model: ModelIR) -> ModelIR:
    """Return a model whose head stands by itself, be it that of a tied one."""
    if not model.config.tie_embeddings or HEAD in model.tensors:
        return model
    return evolve(model, tensors={**model.tensors, HEAD: model.tensors[EMBEDDING]})


def _check_parameters(recipe: Recipe, method: MergeMethod) -> None:
    """Refuse parameters that the method has not, or not for a single model."""
    own = [each.parameters for part in recipe.slices for each in part.ingredients]
    shared = [recipe.parameters, *(part.parameters for part in recipe.slices)]
    for place, scope in enumerate((*own, *shared)):
        for name, (choice, *_) in scope.items():
            parameter = method.parameter(name, choice.where)
            if place < len(own) and not parameter.per_model:
                raise UsageError(
                    f"{choice.where}: {name} is no parameter of a single model; give"
                    " one value for all"
                )


def _check_filters(recipe: Recipe, names: Sequence[str]) -> None:
    """Refuse a filter that fits no tensor: it is about something else."""
    for choice in _choices(recipe):
        if not any(map(choice.fits, names)):
            raise UsageError(
                f"{choice.where}: the filter {choice.filter!r} is in the name of no"
                f" tensor; take a part of a name as in a Hugging Face folder, such as"
                f" {names[-1]}"
            )


def _choices(recipe: Recipe) -> Iterator[Choice]:
    scopes = [recipe.parameters]
    for part in recipe.slices:
        scopes += [part.parameters, *(each.parameters for each in part.ingredients)]
    for scope in scopes:
        for choices in scope.values():
            yield from choices


@frozen
class Outline:
    """The names of a model's tensors: before its layers, in each layer, after them."""

    before: tuple[str, ...]
    layers: Mapping[int, tuple[str, ...]]
    after: tuple[str, ...]

    @classmethod
    def of(cls, model: ModelIR) -> "Outline":
        """Sort the names of a model, which are in order."""
        before: list[str] = []
        after: list[str] = []
        layers: dict[int, list[str]] = {}
        for name in model.tensors:
            found = _LAYER.fullmatch(name)
            if found:
                layers.setdefault(int(found[1]), []).append(found[2])
            else:
                (after if layers else before).append(name)
        roles = {layer: tuple(names) for layer, names in layers.items()}
        return cls(tuple(before), roles, tuple(after))


def _layers(sides: Sequence[Sides]) -> Iterator[tuple[Sides, int, int]]:
    """Yield each layer of the result: its slice, its place there, its number."""
    number = 0
    for each in sides:
        for step in range(each.depth):
            yield each, step, number
            number += 1


def _tied(sides: Sequence[Sides], models: Models) -> bool | None:
    """Return whether embedding and head of the result are made of the same."""
    first, last = sides[0], sides[-1]
    ends = (*first.paths, *last.paths)
    tied = all(models[path].config.tie_embeddings for path in ends)
    return tied and (first is last or first.paths == last.paths)


def _layer_kinds(sides: Sequence[Sides], models: Models) -> tuple[str, ...] | None:
    """Return what kind of attention each layer has, where the models say it."""
    found: list[str] = []
    for each, step, number in _layers(sides):
        kinds = {_kind(side, step, models) for side in each.all}
        if len(kinds) > 1:
            listed = " and ".join(sorted(map(str, kinds)))
            raise UsageError(
                f"layer {number} would be made of {listed} attention; choose layer"
                " ranges of which the kinds agree"
            )
        found += [kind for kind in kinds if kind is not None]
    return tuple(found) or None


def _kind(side: Side, step: int, models: Models) -> str | None:
    kinds = models[side.model].config.layer_kinds
    return kinds[side.layers[step]] if kinds else None


@frozen
class _Planning:
    """Makes the plan of each tensor, with the parameters that hold for it."""

    shared: Parameters
    method: MergeMethod
    outlines: Mapping[Path, Outline]
    spelled: Callable[[str], str]

    def ends(self, sides: Sides, *, after: bool) -> Iterator[Planned]:
        """Yield what stands before or after all layers, at the depth of the first."""
        outlines = [self.outlines[path] for path in sides.paths]
        names = [each.after if after else each.before for each in outlines]
        _check_same(sides, names)
        for name in names[0]:
            origins = [Origin(path, name) for path in sides.paths]
            yield self._planned(name, sides, origins, 0.0)

    def layer(self, sides: Sides, step: int, number: int) -> Iterator[Planned]:
        """Yield what a layer of the result is made of."""
        depth = step / (sides.depth - 1) if sides.depth > 1 else 1.0
        layers = [(each.model, each.layers[step]) for each in sides.all]
        roles = [self.outlines[path].layers.get(layer, ()) for path, layer in layers]
        _check_same(sides, roles)
        for role in roles[0]:
            origins = [Origin(path, f"layers.{layer}.{role}") for path, layer in layers]
            yield self._planned(f"layers.{number}.{role}", sides, origins, depth)

    def _planned(
        self, name: str, sides: Sides, origins: Sequence[Origin], depth: float
    ) -> Planned:
        chosen = settings(
            self.method,
            Place(self.spelled(name), depth),
            (sides.parameters, self.shared),
            [each.parameters for each in sides.models],
        )
        cut = len(origins) - len(sides.models)
        return Planned(name, tuple(origins[cut:]), origins[0] if cut else None, chosen)


def _check_same(sides: Sides, names: Sequence[Sequence[str]]) -> None:
    """Refuse models of which one has tensors that another has not."""
    first, wanted = sides.paths[0], {*names[0]}
    for path, found in zip(sides.paths, names, strict=True):
        missing = [(name, path) for name in sorted(wanted - {*found})]
        missing += [(name, first) for name in sorted({*found} - wanted)]
        if missing:
            repair = "merge only models, or layers of them, with the same tensors"
            faults = [Fault(name, f"not in {at}", repair) for name, at in missing]
            raise ModelCheckError(path, f"has other tensors than {first}", faults)
