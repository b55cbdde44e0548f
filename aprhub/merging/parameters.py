"""Parameters of a recipe: for some tensors only, or changing from layer to layer."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from aprhub.errors import UsageError
from aprhub.spec.merging import MergeMethod, Number, Parameter, Settings


@frozen
class Choice:
    """Values for the tensors whose names have the `filter` in them; None means all.

    One value holds for all layers; of several, the first holds for the first layer and
    the last for the last, and between them numbers change evenly. `where` says where
    the choice was made.
    """

    values: tuple[object, ...]
    filter: str | None = None
    where: str = "command line"

    def fits(self, name: str) -> bool:
        """Return whether the choice is about a tensor."""
        return self.filter is None or self.filter in name

    def at(self, parameter: Parameter, place: float) -> Number:
        """Return the value for a place from 0, the first layer, to 1, the last."""
        values = [parameter.checked(each, self.where) for each in self.values]
        reach = place * (len(values) - 1)
        first = int(reach)
        if parameter.kind is bool or reach == first:
            return values[first]
        share = reach - first
        between = (1 - share) * values[first] + share * values[first + 1]
        return parameter.checked(between, self.where)


Parameters = Mapping[str, Sequence[Choice]]
"""By name, the choices of which the first that fits a tensor holds."""


@frozen
class Place:
    """A tensor of the result: its name as filters know it, and where its layer is."""

    name: str
    depth: float = 0.0


def settings(
    method: MergeMethod,
    place: Place,
    shared: Sequence[Parameters],
    own: Sequence[Parameters],
) -> Settings:
    """Return the parameters of a method for one tensor.

    `shared` are those of the slice and of the recipe, the nearest first; `own` are
    those of each model besides the base, and come before. Raises UsageError for a
    value that is not allowed, or not given.
    """
    common = [each for each in method.parameters if not each.per_model]
    single = [each for each in method.parameters if each.per_model]
    return Settings(
        _resolved(common, place, shared),
        tuple(_resolved(single, place, (mine, *shared)) for mine in own),
    )


def _resolved(
    parameters: Sequence[Parameter], place: Place, scopes: Sequence[Parameters]
) -> dict[str, Number]:
    found = {}
    for parameter in parameters:
        value = _value(parameter, place, scopes)
        if value is None and not parameter.optional:
            raise UsageError(
                f"{parameter.name} is not given for {place.name}, and has no default;"
                f" give it with --set {parameter.name}=VALUE, or under parameters in a"
                " recipe"
            )
        if value is not None:
            found[parameter.name] = value
    return found


def _value(
    parameter: Parameter, place: Place, scopes: Sequence[Parameters]
) -> Number | None:
    for scope in scopes:
        for choice in scope.get(parameter.name, ()):
            if choice.fits(place.name):
                return choice.at(parameter, place.depth)
    return parameter.default
