"""Repairing: a file written anew with what its own evidence puts right."""

from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from aprhub import lineage
from aprhub.check import checked
from aprhub.conversion import Opened, written
from aprhub.detect import identify
from aprhub.errors import (
    AprhubError,
    EnvironmentFailureError,
    Fault,
    ModelCheckError,
    UsageError,
)
from aprhub.health.diagnosis import Diagnosis, Doctoring, described, diagnosed
from aprhub.health.validation import value_findings
from aprhub.ir.tokenizer import Tokenizer
from aprhub.lift import lifted
from aprhub.options import ConvertOptions
from aprhub.registry import Registry
from aprhub.report import SCHEMA, Report
from aprhub.spec.format import StoredModel
from aprhub.tokenizer.folders import read_folder


@frozen
class Repair:
    """What was found in a file, what was done about it, and what is left.

    `report` tells of the file that was written; without, `refusal` says why there is
    none, where one was asked for. `after` is the diagnosis of what was written.
    """

    before: Diagnosis
    report: Report | None = None
    after: Diagnosis | None = None
    refusal: str = field(default="", kw_only=True)

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong, with the file or with what was written of it."""
        return (self.after or self.before).is_healthy

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON-like data."""
        after = self.after
        return {
            "schema": SCHEMA,
            **self.before.as_json(),
            "written": str(self.report.target) if self.report else None,
            "refusal": self.refusal,
            "repaired": self._repaired(),
            "left": [described(each) for each in after.findings] if after else [],
        }

    def _repaired(self) -> list[dict[str, str]]:
        """Return what was wrong before and is not in what was written."""
        return [
            {
                "id": each.id,
                "where": each.where,
                "before": each.found,
                "after": each.expected,
            }
            for each in self.before.findings
            if self.report and each.is_mendable
        ]


def repaired(
    path: Path,
    target: Path,
    told: Doctoring,
    registry: Registry,
    *,
    force: bool = False,
) -> Repair:
    """Examine a file and write what can be mended of it to another.

    The model is lifted with its claims put right, checked, lowered, written and gated
    as by a conversion. Nothing is written for a healthy file, nor where nothing can be
    mended; the file itself is never touched. Raises UsageError for the same path twice,
    TargetExistsError, and what the machine does not do.
    """
    if target.resolve() == path.resolve():
        what = f"{target}: is the file itself; write the repaired one beside it"
        raise UsageError(what)
    before = diagnosed(path, registry, told)
    if before.is_healthy:
        return Repair(before)
    refusal = _obstacle(before)
    if refusal or before.mended is None:
        return Repair(before, refusal=refusal)
    try:
        if told.trusts_bytes:
            _check_values(before.mended, registry)
        options = ConvertOptions(naming=told.naming, family=told.family, force=force)
        given = _opened(before.mended, registry, options)
        origin = given.stored.path, lineage.fingerprint(given.stored)
        step = lineage.step("doctor", [origin], _told(before))
        report = written(given.extended(step), target, options, registry)
    except (UsageError, EnvironmentFailureError):
        raise
    except AprhubError as error:
        return Repair(before, refusal=str(error))
    after = diagnosed(target, registry, evolve(told, source_format=None, family=None))
    return Repair(before, report, after)


def _obstacle(before: Diagnosis) -> str:
    """Return why nothing can be written of a file, or nothing."""
    if before.mended is None or not any(each.is_mendable for each in before.findings):
        return "nothing that was found can be repaired"
    for each in before.findings:
        if each.mend and each.obstacle:
            return f"{each.where}: {each.obstacle}"
    return ""


def _check_values(stored: StoredModel, registry: Registry) -> None:
    """Raise ModelCheckError where values show that the bytes are not to be trusted."""
    lost = value_findings(stored, registry)
    if lost:
        again = "get the file again from where it came"
        faults = [Fault(each.where, each.found, again) for each in lost]
        what = "its bytes give values that no model has"
        raise ModelCheckError(stored.path, what, faults)


def _opened(stored: StoredModel, registry: Registry, options: ConvertOptions) -> Opened:
    return Opened(stored, checked(lifted(stored, registry, options.lift), stored))


def _told(before: Diagnosis) -> dict[str, Any]:
    """Return what the lineage tells of the repair."""
    return {
        "repairs": [
            f"{each.id} {each.where}: {each.found} -> {each.expected}"
            for each in before.findings
            if each.is_mendable
        ]
    }


def tokenizer_of(path: Path, registry: Registry) -> Tokenizer:
    """Return the tokenizer in a folder, or that of the model in a file.

    Raises UsageError for a model without one, and what reading raises.
    """
    if path.is_dir():
        return read_folder(path)
    found = identify(path, registry).opened(path).tokenizer
    if found is None:
        raise UsageError(f"{path}: has no tokenizer; give a folder or file with one")
    return found
