"""Which family a model is of: what it claims, against what it holds."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from attrs import frozen

from aprhub.errors import (
    Fault,
    IdentityError,
    near_miss,
)
from aprhub.registry import Registry
from aprhub.spec.family import Family, role_of
from aprhub.spec.format import StoredModel
from aprhub.spec.naming import Naming, canonical
from aprhub.spec.spelling import Spelling

MOST_MISSING: Final = 100
"""How many missing weights are looked for; a few are enough to tell."""

_LAYER_NUMBER = re.compile(r"^layers\.(\d+)\.")
_EXPERT_NUMBER = re.compile(r"\.experts\.(\d+)\.")


@frozen
class Fit:
    """How well stored names fit a family.

    `spellings` are the names that it explains, `unknown` those that it does not, and
    `missing` the canonical names that it would need besides, or the first of them.
    """

    family: Family
    spellings: tuple[Spelling, ...]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def is_perfect(self) -> bool:
        """Whether nothing is unknown and nothing missing."""
        return not (self.unknown or self.missing)


def fitted(stored: StoredModel, family: Family, namings: Sequence[Naming]) -> Fit:
    """Return how the names of a stored model fit a family; each tensor by itself."""
    factors = {name for each in namings for name in each.rope_factors.values()}
    tried = [naming.of(family) for naming in namings or (canonical(family),)]
    spellings: list[Spelling] = []
    unknown: list[str] = []
    for name in stored.tensors:
        if name in factors:
            continue
        found = (dialect.to_ours(name) for dialect in tried)
        spelling = next((each for each in found if each), None)
        if spelling:
            spellings.append(spelling)
        else:
            unknown.append(name)
    missing = islice(_missing(family, _present(stored, spellings)), MOST_MISSING)
    return Fit(family, tuple(spellings), tuple(unknown), tuple(missing))


def borne_out(
    stored: StoredModel, families: Iterable[Family], namings: Sequence[Naming]
) -> list[Family]:
    """Return the families that have just the tensors of a model, the likeliest first.

    Some have the same names, and differ in what they compute: those are less likely
    whose activation is another, or whose norms have an offset, which few have.
    """
    activation = stored.config.activation

    def strangeness(family: Family) -> tuple[bool, bool]:
        usual = family.defaults.get("activation")
        return activation not in (None, usual), family.norm_offset != 0

    held = (each for each in families if fitted(stored, each, namings).is_perfect)
    return sorted(held, key=strangeness)


def _present(stored: StoredModel, spellings: Iterable[Spelling]) -> set[str]:
    shapes = ((each, stored.tensors[each.stored].shape) for each in spellings)
    return {name for spelling, shape in shapes for name in spelling.held(shape)}


def _missing(family: Family, present: set[str]) -> Iterable[str]:
    layers = _numbers(_LAYER_NUMBER, present)
    experts = _numbers(_EXPERT_NUMBER, present)
    roles = {role_of(name) for name in present}
    flags = {each.when for each in family.weights if each.role in roles}
    for weight in family.weights:
        if not (weight.optional or (weight.when and weight.when not in flags)):
            names = weight.names_of(layers or (0,), experts or (0,))
            yield from (name for name in names if name not in present)


def _numbers(pattern: re.Pattern[str], names: Iterable[str]) -> list[int]:
    found = map(pattern.search, names)
    return sorted({int(each[1]) for each in found if each})


def resolved(
    stored: StoredModel,
    registry: Registry,
    namings: Sequence[Naming],
    wanted: str | None,
) -> tuple[Fit, tuple[str, ...]]:
    """Return the family of a stored model and how it fits, with notes on the choice.

    The family is the one wanted, or the one that all claims of the file agree on; of
    several, one that has just these tensors. Raises IdentityError when there is no
    claim, when a claim is unknown, when claims contradict each other, or when the
    tensors are evidently those of another family.
    """
    if wanted:
        return fitted(stored, registry.family(wanted), namings), ()
    families = [each.value for each in registry.families]
    candidates = _claimed(stored, families)
    fits = {each.name: fitted(stored, each, namings) for each in candidates}
    fitting = [each for each in candidates if fits[each.name].is_perfect]
    chosen, notes = _chosen(stored, fitting or candidates)
    fit = fits[registry.family(chosen.name).name]
    if not fit.is_perfect:
        _refuse_contrary_evidence(stored, fit, families, namings)
    return fit, notes


def _claimed(stored: StoredModel, families: Sequence[Family]) -> list[Family]:
    claims = stored.config.identity.claims
    if not claims:
        raise IdentityError(
            stored.path,
            "the file does not say what architecture it is"
            f" (C-01); say it with --family {_listed(families)}, or convert the"
            " container alone with --naming keep",
        )
    for claim in claims:
        if not any(claim in family.claims for family in families):
            raise IdentityError(
                stored.path,
                f"architecture {claim!r:.80} is not a known family"
                f"{near_miss(claim, (each.name for each in families))} (known:"
                f" {_listed(families)}); say what it is with --family, or convert the"
                " container alone with --naming keep",
            )
    identity = stored.config.identity
    agreed = [each for each in families if each.is_claimed_by(identity)]
    if not agreed:
        raise IdentityError(
            stored.path,
            f"the claims {_quoted(claims)} contradict each other; say"
            " which holds with --family",
        )
    return agreed


def _quoted(claims: Sequence[str]) -> str:
    return ", ".join(f"{claim!r:.80}" for claim in claims)


def _listed(families: Sequence[Family]) -> str:
    return ", ".join(sorted(family.name for family in families))


def _chosen(
    stored: StoredModel, candidates: list[Family]
) -> tuple[Family, tuple[str, ...]]:
    """Choose among families that share every claim, by hints, else by name."""
    if len(candidates) == 1:
        return candidates[0], ()
    identity = stored.config.identity
    text = " ".join(identity.hints).lower()
    hinted = [each for each in candidates if each.name in text]
    named = [each for each in candidates if each.name in identity.claims]
    family = (hinted or named or candidates)[0]
    others = ", ".join(each.name for each in candidates if each is not family)
    why = "its name says so" if hinted else "nothing in the file says otherwise"
    note = (
        f"architecture {identity.claims[0]!r} can be {family.name} or {others}: taken"
        f" as {family.name}, since {why} (--family overrides)"
    )
    return family, (note,)


def _refuse_contrary_evidence(
    stored: StoredModel,
    fit: Fit,
    families: Sequence[Family],
    namings: Sequence[Naming],
) -> None:
    others = borne_out(stored, families, namings)
    if not others:
        return
    claims = _quoted(stored.config.identity.claims)
    raise IdentityError(
        stored.path,
        f"the file claims to be {claims}, but its tensors are those of"
        f" {_listed(others)}",
        _evidence(fit, f"if the tensors are right, say --family {others[0].name}"),
    )


def _evidence(fit: Fit, repair: str) -> list[Fault]:
    name = fit.family.name
    strange = [Fault(each, f"no weight of {name}", repair) for each in fit.unknown]
    absent = [Fault(each, f"{name} needs it", repair) for each in fit.missing]
    return [*strange, *absent][:5]
