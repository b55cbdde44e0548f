"""Choices: which encoding a weight gets, by the place of its layer in a model."""

from collections.abc import Callable

from attrs import frozen


@frozen
class Place:
    """Which of how many layers; `sharing` query heads share one key and value head.

    `weighed` says whether there is an importance matrix, `experts` how many there are,
    `order` how many tensors of the role come before: shared experts count, too.
    """

    layer: int
    layers: int
    sharing: int
    weighed: bool
    experts: int
    order: int

    def is_before(self, part: int) -> bool:
        """Return whether this is one of the first layers, one part of them."""
        return self.layer < self.layers // part

    @property
    def is_of_eight(self) -> bool:
        """Whether there are eight experts, beside whom attention takes little room."""
        return self.experts == 8

    @property
    def is_inner(self) -> bool:
        """Whether it is none of the first or last eighth."""
        return self.layers // 8 <= self.layer < 7 * self.layers // 8

    @property
    def is_sensitive(self) -> bool:
        """Whether it is one of the first or last eighth, or each third in between."""
        return not self.is_inner or (self.layer - self.layers // 8) % 3 == 2


Choice = Callable[[Place], str | None]
"""Returns the encoding at a place, or None for the mixture's own."""


def always(name: str) -> Choice:
    """Return a choice of one encoding everywhere."""
    return lambda _place: name


def where_sensitive(name: str) -> Choice:
    """Return a choice for the layers that are sensitive."""
    return lambda place: name if place.is_sensitive else None


def first(part: int, name: str, other: str | None = None) -> Choice:
    """Return a choice for the first layers, one part of all, and for the others."""
    return lambda place: name if place.is_before(part) else other


def first_in_order(part: int, name: str) -> Choice:
    """Return a choice for as many first tensors as one part of the layers."""
    return lambda place: name if place.order < place.layers // part else None


def first_layers(count: int, name: str, other: str | None = None) -> Choice:
    """Return a choice for some first layers, and for the others."""
    return lambda place: name if place.layer < count else other


def shared(name: str, other: str | None = None) -> Choice:
    """Return a choice where many query heads share values, and elsewhere."""
    return lambda place: name if place.sharing >= 4 else other


def of_eight(name: str | None, other: str | None = None) -> Choice:
    """Return a choice for models with eight experts, and for the others."""
    return lambda place: name if place.is_of_eight else other


def if_of_eight(choice: Choice) -> Choice:
    """Return a choice with eight experts only."""
    return lambda place: choice(place) if place.is_of_eight else None


def beside_experts(count: int, name: str) -> Choice:
    """Return a choice for models with so many experts or more."""
    return lambda place: name if place.experts >= count else None


def inner(name: str) -> Choice:
    """Return a choice for all but the first and the last layers."""
    return lambda place: name if place.is_inner else None


def either(one: Choice, other: Choice) -> Choice:
    """Return the first choice, or the second where that chooses nothing."""
    return lambda place: one(place) or other(place)


def unless_weighed(choice: Choice) -> Choice:
    """Return a choice without an importance matrix only."""
    return lambda place: None if place.weighed else choice(place)


def if_weighed(choice: Choice) -> Choice:
    """Return a choice with an importance matrix only."""
    return lambda place: choice(place) if place.weighed else None
