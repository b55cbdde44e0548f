"""What a model says that it is, against what its tensors say."""

from collections.abc import Iterator, Sequence
from functools import partial

from attrs import evolve

from aprhub.health.patient import Patient, configured
from aprhub.identity import borne_out
from aprhub.ir.config import Identity
from aprhub.spec.family import Family
from aprhub.spec.format import StoredModel
from aprhub.spec.health import (
    ARCHITECTURE_CLASS,
    ARCHITECTURE_MISSING,
    ARCHITECTURE_WRONG,
    RUNNABLE,
    Finding,
)

_WHERE = "architecture"
_COVERED = ("C-01", "general.architecture", "config.json")


def identified(patient: Patient, wanted: str | None) -> Patient:
    """Return the patient with its family, unless nothing tells which that is."""
    identity = patient.stored.config.identity
    families = _families(patient) if identity.claims else []
    claimed = [each for each in families if each.is_claimed_by(identity)]
    agreed = [each for each in claimed if patient.fit(each).is_perfect]
    evident = [] if agreed else _evident(patient)
    if wanted:
        evident = [patient.registry.family(wanted)]
        claimed = agreed = [each for each in claimed if each in evident]
    if agreed or (claimed and not evident):
        chosen = _hinted(identity, agreed or claimed)
        known = evolve(patient, family=chosen)
        return known.told(_class_names(identity, chosen, patient.stored))
    family, finding = _contrary(patient, evident, told=wanted is not None)
    return evolve(patient.told([finding]), family=family)


def _families(patient: Patient) -> list[Family]:
    return [each.value for each in patient.registry.families]


def _evident(patient: Patient) -> list[Family]:
    """Return the families that have just these tensors."""
    return borne_out(patient.stored, _families(patient), patient.namings)


def _hinted(identity: Identity, families: Sequence[Family]) -> Family:
    text = " ".join((*identity.hints, *identity.claims)).lower()
    return next((each for each in families if each.name in text), families[0])


def _contrary(
    patient: Patient, evident: Sequence[Family], *, told: bool
) -> tuple[Family | None, Finding]:
    """Return the family that the tensors show, and what is wrong with the claims."""
    claims = patient.stored.config.identity.claims
    names = {name for each in _families(patient) for name in each.claims}
    strange = [claim for claim in claims if claim not in names]
    family = evident[0] if len(evident) == 1 and not strange else None
    listed = ", ".join(each.name for each in evident) or "no family that is known"
    obstacle = "" if family else _obstacle(strange, listed)
    finding = Finding(
        ARCHITECTURE_WRONG if claims else ARCHITECTURE_MISSING,
        _WHERE,
        ", ".join(dict.fromkeys(claims)) or "missing",
        family.name if family else listed,
        RUNNABLE,
        "--family says so" if told else _evidence(patient, evident),
        obstacle,
        _COVERED,
        partial(_named, family=family) if family else None,
    )
    return family, finding


def _obstacle(strange: Sequence[str], listed: str) -> str:
    if strange:
        return f"{strange[0]!r:.80} is no family that is known; say one with --family"
    return f"the tensors are those of {listed}; say which with --family"


def _evidence(patient: Patient, evident: Sequence[Family]) -> str:
    """Name tensors that the families which are claimed do not explain."""
    identity = patient.stored.config.identity
    for family in _families(patient):
        if evident and not family.claims.isdisjoint(identity.claims):
            fit = patient.fit(family)
            if fit.unknown:
                return f"{fit.unknown[0]} is no weight of {family.name}"
            if fit.missing:
                return f"{fit.missing[0]} is missing for {family.name}"
    return f"{len(patient.stored.tensors)} tensors, by their names"


def _named(stored: StoredModel, family: Family) -> StoredModel:
    """Return a model that says it is of a family, in the words of every world."""
    ggml = stored.naming == "ggml"
    identity = Identity(
        family.ggml_architecture if ggml else family.slug,
        next(iter(family.hf_classes), None),
        next(iter(family.hf_model_types), None),
        stored.config.identity.hints,
    )
    return configured(stored, {"identity": identity})


def _class_names(
    identity: Identity, family: Family, stored: StoredModel
) -> Iterator[Finding]:
    """Find the name of a class where programs expect that of an architecture."""
    said = {"architecture": identity.architecture, "model_type": identity.hf_model_type}
    for where, name in said.items():
        if name in family.hf_classes:
            yield Finding(
                ARCHITECTURE_CLASS,
                where,
                f"{name}, the name of a class",
                family.ggml_architecture if stored.naming == "ggml" else family.slug,
                RUNNABLE,
                f"{name} is a class of {family.name}, as its tensors are",
                covers=_COVERED,
                mend=partial(_named, family=family),
            )
