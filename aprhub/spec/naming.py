"""Naming: how one world spells the canonical names, and how it lays tensors out."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property

from attrs import field, frozen

from aprhub.ir.casting import Observer
from aprhub.ir.config import ModelConfig
from aprhub.ir.tensor import Tensor
from aprhub.spec.family import Family

Change = Callable[[Tensor, ModelConfig], Tensor]


@frozen
class Transform:
    """An invertible change between a world's layout and the canonical one.

    `lift` leads from the stored layout to the canonical one and `lower` back. A
    `packed_safe` transform moves whole rows and so works on quantised bytes. One that
    computes may round; `observed` is then `lower` with somebody who is told of it.
    """

    name: str
    lift: Change = field(eq=False, repr=False)
    lower: Change = field(eq=False, repr=False)
    packed_safe: bool = True
    observed: Callable[[Tensor, ModelConfig, Observer], Tensor] | None = field(
        default=None, eq=False, repr=False
    )

    def lowered(self, tensor: Tensor, config: ModelConfig, observe: Observer) -> Tensor:
        """Return the stored layout, telling of what it rounds where it can."""
        if self.observed:
            return self.observed(tensor, config, observe)
        return self.lower(tensor, config)


@frozen
class Rule:
    """Two spellings of one weight; `{i}` stands for the layer."""

    theirs: str
    ours: str

    def to_ours(self, name: str) -> str | None:
        """Translate a stored name, or return None when the rule is about another."""
        return _rewritten(name, self._theirs_pattern, self.ours)

    def to_theirs(self, name: str) -> str | None:
        """Translate a canonical name back."""
        return _rewritten(name, self._ours_pattern, self.theirs)

    @cached_property
    def _theirs_pattern(self) -> re.Pattern[str]:
        return _pattern(self.theirs)

    @cached_property
    def _ours_pattern(self) -> re.Pattern[str]:
        return _pattern(self.ours)


def _pattern(template: str) -> re.Pattern[str]:
    number = r"(?P<\1>0|[1-9]\\d*)"
    return re.compile(re.sub(r"\\\{(\w)\\\}", number, re.escape(template)))


def _rewritten(name: str, pattern: re.Pattern[str], template: str) -> str | None:
    found = pattern.fullmatch(name)
    return template.format(**found.groupdict()) if found else None


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
class Spelling:
    """One weight in one naming: both names, and the transform between layouts."""

    stored: str
    canonical: str
    transform: Transform | None


@frozen
class Naming:
    """A convention by which some world names and lays out tensors.

    `families` holds the rules that replace the general ones of the same roles, by
    family. `rope_factors` is the name of the tensor that holds rotary frequency
    factors, where the world stores them as a tensor. `prefixes` may be missing from
    stored names (base models saved without their head).
    """

    name: str
    rules: tuple[Rule, ...]
    families: Mapping[str, tuple[Rule, ...]] = field(factory=dict)
    adjustments: tuple[Adjustment, ...] = ()
    rope_factors: str | None = None
    prefixes: tuple[str, ...] = ()

    def rules_for(self, family: Family) -> tuple[Rule, ...]:
        """Return the rules that hold for a family: one for each role it has."""
        own = self.families.get(family.name, ())
        replaced = {rule.ours for rule in own}
        general = (rule for rule in self.rules if rule.ours not in replaced)
        roles = family.roles()
        return tuple(rule for rule in (*own, *general) if rule.ours in roles)

    def to_ours(self, name: str, family: Family) -> Spelling | None:
        """Return the canonical name of a stored one, or None when it has none."""
        for candidate in (name, *(prefix + name for prefix in self.prefixes)):
            for rule in self.rules_for(family):
                canonical = rule.to_ours(candidate)
                if canonical is not None:
                    return Spelling(name, canonical, self._transform(family, rule))
        return None

    def to_theirs(self, name: str, family: Family) -> Spelling | None:
        """Return the stored name of a canonical one, or None when it has none."""
        for rule in self.rules_for(family):
            stored = rule.to_theirs(name)
            if stored is not None:
                return Spelling(stored, name, self._transform(family, rule))
        return None

    def _transform(self, family: Family, rule: Rule) -> Transform | None:
        for each in self.adjustments:
            if re.fullmatch(each.roles, rule.ours) and each.applies(family):
                return each.transform
        return None


def canonical(family: Family) -> Naming:
    """Return the naming of formats that have none: every weight by its own role."""
    return Naming("canonical", tuple(Rule(role, role) for role in family.roles()))
