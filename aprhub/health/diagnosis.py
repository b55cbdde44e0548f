"""Diagnosis: everything that is wrong with a file, and its model with that mended."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from aprhub.check import checked, faults
from aprhub.detect import identify
from aprhub.encodings import LowerOptions
from aprhub.errors import (
    AprhubError,
    CorruptFileError,
    Fault,
    ModelError,
    UnsupportedFileError,
)
from aprhub.export.witness import checksum_faults
from aprhub.health.claims import identified
from aprhub.health.embedding import head_names, swapped_findings, tie_findings
from aprhub.health.patient import Patient
from aprhub.health.sizes import head_findings, settled, size_findings
from aprhub.health.tensors import encoding_findings, merge_findings
from aprhub.health.vocabulary import surplus_findings, tokenizer_findings
from aprhub.ir.packed import native_of
from aprhub.ir.tokenizer import Tokenizer
from aprhub.lift import Lifted, LiftOptions, lifted
from aprhub.lower import lowered
from aprhub.registry import Registry
from aprhub.spec.format import Format, StoredModel
from aprhub.spec.health import (
    ARCHITECTURE_WRONG,
    CHECKSUM,
    CORRUPT,
    PACKAGING,
    ROPE_TYPE,
    ROUND_TRIP,
    RUNNABLE,
    TIED_HEAD,
    UNDECIDED,
    UNRUNNABLE,
    UNSOUND,
    Examined,
    Finding,
    rewritten,
    without_checksums,
)
from aprhub.unpacking import prepared


@frozen
class Diagnosis:
    """What is wrong with a file.

    `mended` is its model with all mends made, or None where the file cannot be read.
    """

    path: Path
    format: Format
    findings: tuple[Finding, ...]
    mended: StoredModel | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """Return the diagnosis as JSON-like data."""
        return {
            "path": str(self.path),
            "format": self.format.name,
            "healthy": self.is_healthy,
            "findings": [described(each) for each in self.findings],
        }


def described(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON-like data."""
    return {
        "id": finding.id,
        "where": finding.where,
        "found": finding.found,
        "expected": finding.expected,
        "evidence": finding.evidence,
        "contract": finding.contract,
        "mendable": finding.is_mendable,
        "obstacle": finding.obstacle,
    }


@frozen
class Doctoring:
    """What a user may tell about a file that is to be examined.

    `tokenizer` is one to put where it is missing. Without `checksums`, those of the
    file are left to somebody who reads all of it anyway. With `trusts_bytes`, bytes are
    right that a checksum contradicts.
    """

    source_format: str | None = None
    naming: str | None = None
    family: str | None = None
    tokenizer: Tokenizer | None = None
    checksums: bool = True
    trusts_bytes: bool = False


def diagnosed(path: Path, registry: Registry, told: Doctoring) -> Diagnosis:
    """Examine a file; reads the weights only where two are compared, and checksums.

    Raises MissingFileError and UnknownFormatError; a file that cannot be read is a
    finding.
    """
    fmt = identify(path, registry, told.source_format)
    try:
        examined = _examined(fmt, path)
        stored = prepared(_mended(examined), registry, told.naming)
    except (CorruptFileError, UnsupportedFileError) as error:
        return Diagnosis(path, fmt, (unreadable(path, error),))
    patient = Patient(stored, fmt, registry, told.naming)
    patient = evolve(patient, findings=tuple(examined.findings))
    if stored.tensors:
        patient = _questioned(patient, examined, told)
    else:
        patient = settled(patient, tuple(examined.disputes))
    if told.checksums:
        patient = patient.told(map(damaged, checksum_faults(stored.checksums)))
    findings = patient.findings
    if told.trusts_bytes:
        findings = tuple(map(_trusted, findings))
    if any(native_of(each.source) for each in patient.stored.tensors.values()):
        findings = tuple(_kept(each, _PACKED) for each in findings)
    elif stored.text_part:
        findings = tuple(_kept(each, _WHOLE) for each in findings)
    return Diagnosis(path, fmt, findings, patient.stored)


def _trusted(finding: Finding) -> Finding:
    """Return the finding of a checksum as one that the user has decided."""
    if finding.id != CHECKSUM or not finding.obstacle:
        return finding
    return evolve(finding, obstacle="", evidence="--trust-bytes says so")


def _kept(finding: Finding, obstacle: str) -> Finding:
    """Return a finding of a model that cannot be written as it is."""
    return evolve(finding, obstacle=obstacle) if finding.is_mendable else finding


_PACKED: Final = (
    "packed weights would be decoded; say what is expected with 'aprhub stamp FILE"
    " --in-place --set KEY=VALUE', which leaves them as they are"
)
_WHOLE: Final = (
    "only the text model would be written; correct what the file says of it by hand"
)


def _examined(fmt: Format, path: Path) -> Examined:
    if fmt.examine is None:
        return Examined(fmt.opened(path))
    examined = fmt.examine(path)
    own = (fmt.naming,) if fmt.naming else ()
    stored = evolve(examined.stored, namings=fmt.namings or own)
    return evolve(examined, stored=stored)


def _mended(examined: Examined) -> StoredModel:
    stored = examined.stored
    for finding in examined.findings:
        stored = finding.mend(stored) if finding.mend else stored
    return stored


def unreadable(path: Path, error: AprhubError) -> Finding:
    """Return the finding of a file that cannot be read."""
    return Finding(
        CORRUPT,
        "file",
        str(error).removeprefix(f"{path}: "),
        "a file that can be read",
        ROUND_TRIP,
        obstacle="what cannot be read cannot be mended",
    )


def _questioned(patient: Patient, examined: Examined, told: Doctoring) -> Patient:
    """Return the patient after every examination; each sees what was mended before."""
    patient = identified(patient, told.family)
    patient = patient.told(merge_findings(patient))
    if patient.family is None:
        return settled(patient, tuple(examined.disputes))
    patient = patient.told(swapped_findings(patient))
    patient = settled(patient, tuple(examined.disputes))
    known = {name for each in patient.findings for name in each.covers}
    sizes = [each for each in size_findings(patient) if each.where not in known]
    patient = patient.told(sizes)
    patient = patient.told(head_findings(patient))
    patient = patient.told(tie_findings(patient))
    patient = patient.told(tokenizer_findings(patient, told.tokenizer))
    patient = patient.told(surplus_findings(patient))
    patient = patient.told(encoding_findings(patient))
    return patient.told(_remaining(patient))


def _remaining(patient: Patient) -> Iterator[Finding]:
    """Find what the checks of every conversion say, and nobody has said yet."""
    covered = {name for each in patient.findings for name in each.covers}
    family = patient.family
    stored = evolve(patient.stored, family=family)
    name = family.name if family else None
    options = LiftOptions(patient.naming, name, lossy=stored.text_part is not None)
    try:
        found = lifted(stored, patient.registry, options)
    except ModelError as error:
        # Such an error says what to do itself.
        whole = Fault("model", str(error), "")
        yield from _new(UNSOUND, error.faults or [whole], covered)
        return
    unsound = faults(found.model, family) if family else []
    yield from _new(UNSOUND, unsound, covered)
    subjects = covered | {each.subject for each in unsound}
    unrunnable = list(_uncovered(patient.format.runnable(stored), subjects))
    cured = _cured(patient, found, stored) if unrunnable and not unsound else None
    ids = {**_IDS, **dict.fromkeys(head_names(patient), TIED_HEAD)}
    for fault in unrunnable:
        yield _residual(ids.get(fault.subject, UNRUNNABLE), fault, cured)


_IDS: Final = {
    "C-01": ARCHITECTURE_WRONG,
    "general.architecture": ARCHITECTURE_WRONG,
    "rope_type": ROPE_TYPE,
}
"""Ids of what keeps a model from running, by the subjects of a format's faults."""


def _cured(
    patient: Patient, found: Lifted, stored: StoredModel
) -> Sequence[Fault] | None:
    """Return what would keep the model from running were it written anew."""
    try:
        model = checked(found, stored)
        ready = lowered(
            model, stored.path, patient.format, patient.registry, LowerOptions()
        )
    except AprhubError:
        return None
    return patient.format.runnable(ready.stored)


def _uncovered(found: Iterable[Fault], covered: set[str]) -> Iterator[Fault]:
    for fault in found:
        if fault.subject not in covered:
            yield fault


def _new(id: str, found: Iterable[Fault], covered: set[str]) -> Iterator[Finding]:
    for fault in _uncovered(found, covered):
        yield _residual(id, fault, None)


def _residual(id: str, fault: Fault, cured: Sequence[Fault] | None) -> Finding:
    is_cured = cured is not None and fault not in cured
    why = fault.repair or "nothing in the file tells what is right"
    return Finding(
        id,
        fault.subject,
        fault.problem,
        "what its family and its programs need",
        RUNNABLE,
        "writing the model anew settles it" if is_cured else "",
        "" if is_cured else why,
        mend=rewritten if is_cured else None,
    )


def damaged(fault: Fault) -> Finding:
    """Return the finding of a checksum that the bytes contradict."""
    return Finding(
        CHECKSUM,
        fault.subject,
        fault.problem,
        "the checksum of the bytes",
        PACKAGING,
        obstacle=UNDECIDED,
        mend=without_checksums,
    )
