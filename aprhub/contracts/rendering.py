"""Findings in the forms that other programs read."""

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any, Final

from aprhub.contracts.findings import Finding
from aprhub.version import VERSION

_SARIF: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return findings as a SARIF 2.1.0 log, which code hosts show beside the lines."""
    rules = sorted({each.rule for each in findings})
    driver = {
        "name": "aprhub contracts",
        "version": VERSION,
        "rules": [{"id": rule} for rule in rules],
    }
    results = [_result(each) for each in findings]
    run = {"tool": {"driver": driver}, "results": results}
    return {"$schema": _SARIF, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": PurePath(finding.file).as_posix()},
        "region": {"startLine": finding.line},
    }
    return {
        "ruleId": finding.rule,
        "level": str(finding.severity),
        "message": {"text": _said(finding)},
        "locations": [{"physicalLocation": place}],
    }


def github(findings: Iterable[Finding]) -> list[str]:
    """Return findings as the workflow commands of GitHub, one a line."""
    return [
        f"::{each.severity} file={_property(each.file)},line={each.line},"
        f"title={_property(each.rule)}::{_escaped(_said(each))}"
        for each in findings
    ]


def _said(finding: Finding) -> str:
    return (
        f"{finding.message} ({finding.repair})" if finding.repair else finding.message
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
