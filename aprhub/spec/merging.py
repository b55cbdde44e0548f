"""Merge methods: how one tensor is made of the same tensor in several models."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.errors import (
    UsageError,
    near_miss,
)

Values = NDArray[np.float32]
"""Elements of a tensor as they are read: `(rows, columns)`."""

Numbers = NDArray[np.float64]
"""What is computed: in f64, so that equal models give the model itself back."""

Number = float | int | bool


@frozen
class Parameter:
    """Something that a user sets: a number or a flag, for all models or for each.

    Without a default it must be given, unless it is `optional`. Bounds belong to what
    is allowed.
    """

    name: str
    default: Number | None = None
    low: float | None = None
    high: float | None = None
    per_model: bool = False
    optional: bool = False
    kind: type[float] | type[int] | type[bool] = float

    def checked(self, value: object, where: str) -> Number:
        """Return a value of this parameter's kind; raise UsageError for another.

        A text that is a number counts as one: YAML takes `1e-5` for a text.
        """
        number = _converted(value, self.kind)
        if number is None:
            wanted = {float: "a number", int: "a whole number", bool: "true or false"}
            raise UsageError(
                f"{where}: {self.name} is {value!r:.80}; give {wanted[self.kind]}"
            )
        below = self.low is not None and number < self.low
        if below or (self.high is not None and number > self.high):
            raise UsageError(
                f"{where}: {self.name} is {number:g}; give one from {self.bounds}"
            )
        return number

    @property
    def bounds(self) -> str:
        """The allowed values in words."""
        low = "-∞" if self.low is None else f"{self.low:g}"
        return f"{low} to {'∞' if self.high is None else f'{self.high:g}'}"


def _converted(value: object, kind: type[Number]) -> Number | None:
    if kind is bool or isinstance(value, bool):
        return value if kind is bool and isinstance(value, bool) else None
    if not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    if not np.isfinite(number) or (kind is int and not number.is_integer()):
        return None
    return int(number) if kind is int else number


def _frozen_mapping(values: Mapping[str, Number]) -> Mapping[str, Number]:
    return MappingProxyType(dict(values))


@frozen
class Settings:
    """The values of a method's parameters for one tensor.

    `shared` are those of all models, `own` those of each model besides the base.
    """

    shared: Mapping[str, Number] = field(factory=dict, converter=_frozen_mapping)
    own: tuple[Mapping[str, Number], ...] = ()

    def __getitem__(self, name: str) -> float:
        """Return a parameter of all models."""
        return float(self.shared[name])

    def each(self, name: str) -> Numbers:
        """Return a parameter of each model; NaN where an optional one is not given."""
        return np.array([values.get(name, np.nan) for values in self.own], np.float64)


@frozen
class Piece:
    """Whole rows of one tensor in every model, `(rows, columns)` each.

    A vector is a single row. `start` is the position of the first element in the
    tensor. `models` are in the order of the recipe, without the base. Nothing here may
    be changed.
    """

    start: int
    models: tuple[Values, ...]
    base: Values | None = None

    @property
    def ground(self) -> Values:
        """The base, which the method has to require."""
        if self.base is None:
            raise UsageError(
                "the merge method needs a base; name one with --base, or as base_model"
                " in a recipe"
            )
        return self.base

    def positions(self) -> NDArray[np.uint64]:
        """Return where in the tensor each element stands, in the shape of the rows."""
        count = self.models[0].size
        start = np.uint64(self.start)
        return (start + np.arange(count, dtype=np.uint64)).reshape(self.models[0].shape)


Blend = Callable[[Piece], Values | Numbers]
"""Makes the values of some rows from those of the models."""

Answer = TypeVar("Answer")
Measure = Callable[[Piece], Answer]
"""Tells something about some rows, which can be combined with what others tell."""


class Group(Protocol):
    """One tensor in every model: what a method is given to prepare its blend.

    `key` tells the tensor and the seed from all others: random numbers come from it
    and from positions, so that they do not depend on the order of the work.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""

    @property
    def settings(self) -> Settings:
        """The parameters for this tensor."""

    @property
    def has_base(self) -> bool:
        """Whether pieces have a base."""

    @property
    def key(self) -> bytes:
        """What the random numbers of this tensor depend on."""

    def folded(
        self,
        measure: Measure[Answer],
        within: range | None = None,
        combine: Callable[[Any, Any], Any] = np.add,
    ) -> Answer:
        """Return the sum of what is measured of each piece, or another combination.

        Reads the whole tensor, or the rows with positions `within` a range. Pieces are
        bounded, the same each time, and combined in order.
        """


Base = Literal["required", "optional", "first", "none"]
Evaluation = Literal["elements", "rows", "tensor"]


def _never(_settings: Settings) -> bool:
    return False


@frozen
class MergeMethod:
    """A method of merging: `prepare` returns the blend of one tensor.

    `base` says whether there is a model that the others are compared with: `required`,
    `optional`, `first` (the first model, unless one is named), or `none`: then a base
    that is named is a model like the others. `models` are the least and the most
    models besides the base; None is no limit. `evaluation` is what a value depends on:
    the same element of the models (`elements`), the same row, or the whole `tensor`,
    which `prepare` then measures with `Group.folded`. A `symmetric` method does not
    care for the order of the models. `keeps` says with which settings the tensor of the
    only model is passed on as it is. `reference` says where the formula comes from.
    """

    name: str
    title: str
    prepare: Callable[[Group], Blend] = field(eq=False, repr=False)
    parameters: tuple[Parameter, ...] = ()
    base: Base = "none"
    models: tuple[int, int | None] = (1, None)
    evaluation: Evaluation = "elements"
    symmetric: bool = True
    keeps: Callable[[Settings], bool] = field(default=_never, eq=False, repr=False)
    reference: str = ""

    def parameter(self, name: str, where: str) -> Parameter:
        """Return a parameter; raise UsageError for one that the method has not."""
        for each in self.parameters:
            if each.name == name:
                return each
        names = [each.name for each in self.parameters]
        raise UsageError(
            f"{where}: {self.name} has no parameter {name!r:.80}; leave it out (its"
            f" parameters: {', '.join(names) or 'none'}){near_miss(name, names)}"
        )
