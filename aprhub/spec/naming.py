"""Naming: how one world spells the canonical names, and how it lays tensors out."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property

from attrs import field, frozen

from aprhub.spec.family import EXPERT, Family
from aprhub.spec.spelling import Part, Spelling, Transform


def _several(ours: str | tuple[str, ...]) -> tuple[str, ...]:
    return (ours,) if isinstance(ours, str) else ours


@frozen
class Rule:
    """How one stored tensor is called, and the weights that are in it.

    `{i}` stands for the layer, `{j}` for the expert. Several weights are joined, one
    below the other. Where only the weights have a `{j}`, those of all experts are
    stacked along a first dimension.
    """

    theirs: str
    ours: tuple[str, ...] = field(converter=_several)

    def to_ours(self, name: str) -> tuple[str, ...] | None:
        """Translate a stored name, or return None when the rule is about another.

        A `{j}` that the stored name does not fix stays.
        """
        found = self._theirs_pattern.fullmatch(name)
        if found is None:
            return None
        numbers = {"j": EXPERT, **found.groupdict()}
        return tuple(each.format(**numbers) for each in self.ours)

    def to_theirs(self, name: str) -> str | None:
        """Return the stored name of the tensor that a weight is in."""
        for pattern in self._our_patterns:
            found = pattern.fullmatch(name)
            if found:
                return self.theirs.format(**found.groupdict())
        return None

    @cached_property
    def _theirs_pattern(self) -> re.Pattern[str]:
        return _pattern(self.theirs)

    @cached_property
    def _our_patterns(self) -> tuple[re.Pattern[str], ...]:
        return tuple(map(_pattern, self.ours))


def _pattern(template: str) -> re.Pattern[str]:
    number = r"(?P<\1>0|[1-9]\\d*)"
    return re.compile(re.sub(r"\\\{(\w)\\\}", number, re.escape(template)))


def _always(_family: Family) -> bool:
    return True


@frozen
class Adjustment:
    """A transform, the roles that it is for, and the families that need it.

    `roles` is a regular expression that the whole role must match.
    """

    roles: str
    transform: Transform
    applies: Callable[[Family], bool] = field(default=_always, eq=False, repr=False)


@frozen
class Naming:
    """A convention by which some world names and lays out tensors.

    Of several rules for a role the first is how tensors are written; all are read.
    `families` holds the rules that replace the general ones of the same roles, by
    family. `rope_factors` are the names of the tensors that hold rotary frequency
    factors, where the world stores them as tensors, by what `aprhub.rope` calls them.
    `prefixes` may be missing from stored names (base models saved without their head).
    """

    name: str
    rules: tuple[Rule, ...]
    families: Mapping[str, tuple[Rule, ...]] = field(factory=dict)
    adjustments: tuple[Adjustment, ...] = ()
    rope_factors: Mapping[str, str] = field(factory=dict)
    prefixes: tuple[str, ...] = ()

    def rules_for(self, family: Family) -> tuple[Rule, ...]:
        """Return the rules that hold for a family, those that are written first."""
        own = self.families.get(family.name, ())
        replaced = {role for rule in own for role in rule.ours}
        general = (rule for rule in self.rules if replaced.isdisjoint(rule.ours))
        roles = family.roles()
        return tuple(rule for rule in (*own, *general) if roles.issuperset(rule.ours))

    def of(self, family: Family) -> "Dialect":
        """Return the naming as it is for one family: faster for many names."""
        return Dialect(self, family, self.rules_for(family))

    def to_ours(self, name: str, family: Family) -> Spelling | None:
        """Return which weights a stored name stands for, or None when for none."""
        return self.of(family).to_ours(name)

    def to_theirs(self, name: str, family: Family) -> Spelling | None:
        """Return how the tensor that holds a weight is written, or None if not."""
        return self.of(family).to_theirs(name)


@frozen
class Dialect:
    """A naming as it is for one family, with the rules that hold for it."""

    naming: Naming
    family: Family
    rules: tuple[Rule, ...]

    def to_ours(self, name: str) -> Spelling | None:
        """Return which weights a stored name stands for, or None when for none."""
        for candidate in (name, *(prefix + name for prefix in self.naming.prefixes)):
            for rule in self.rules:
                found = rule.to_ours(candidate)
                if found is not None:
                    return self._spelling(name, rule, found)
        return None

    def to_theirs(self, name: str) -> Spelling | None:
        """Return how the tensor that holds a weight is written, or None if not."""
        for rule in self.rules:
            stored = rule.to_theirs(name)
            if stored is not None:
                return self._spelling(stored, rule, rule.to_ours(stored) or ())
        return None

    def _spelling(self, stored: str, rule: Rule, names: tuple[str, ...]) -> Spelling:
        pairs = zip(rule.ours, names, strict=True)
        return Spelling(stored, tuple(self._part(role, name) for role, name in pairs))

    def _part(self, role: str, name: str) -> Part:
        return Part(name, self.family.weight(role), self._transform(role))

    def _transform(self, role: str) -> Transform | None:
        for each in self.naming.adjustments:
            if re.fullmatch(each.roles, role) and each.applies(self.family):
                return each.transform
        return None


def canonical(family: Family) -> Naming:
    """Return the naming of formats that have none: every weight by its own role."""
    return Naming("canonical", tuple(Rule(role, role) for role in family.roles()))
