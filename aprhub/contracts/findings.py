"""What is found in contracts, by the id of a rule, and how weighty each rule is."""

from enum import StrEnum
from pathlib import Path
from typing import Final

from attrs import asdict, evolve, frozen

from aprhub.yaml_document import Entry


class Severity(StrEnum):
    """How weighty a finding is; only errors make a check fail."""

    ERROR = "error"
    WARNING = "warning"


PARSING: Final = "PV-VAL-001"
NO_KANI: Final = "PV-PRV-001"
NO_TESTS: Final = "PV-PRV-002"
FEW_TESTS: Final = "PV-PRV-003"
DANGLING: Final = "PV-VER-002"
PROSE: Final = "BIND-001"
SKIPPED: Final = "BIND-002"
EMPTY: Final = "BIND-003"
WITHOUT_ASSERT: Final = "BIND-004"
UNCOLLECTED: Final = "BIND-005"
UNREGISTERED: Final = "BIND-006"
REGISTERED_TWICE: Final = "BIND-007"
UNPROVED: Final = "HISTORY-001"
UNVERSIONED: Final = "HISTORY-002"
UNRECORDED: Final = "HISTORY-003"

_WARNINGS: Final = frozenset(
    (
        *("SCHEMA-006", "SCHEMA-009", "SCHEMA-012", "SCHEMA-013", "SCHEMA-018"),
        *(FEW_TESTS, DANGLING, PROSE, SKIPPED, EMPTY, WITHOUT_ASSERT, UNCOLLECTED),
        *(UNREGISTERED, REGISTERED_TWICE, UNPROVED, UNVERSIONED, UNRECORDED),
    )
)


@frozen
class Finding:
    """One thing that is wrong: the rule, the place, what was found, what to do."""

    rule: str
    file: str
    line: int
    message: str
    repair: str = ""
    severity: Severity = Severity.ERROR

    @classmethod
    def at(cls, entry: Entry, rule: str, message: str, repair: str = "") -> "Finding":
        """Return what is wrong at a place of a contract."""
        where = f"{entry.path}: " if entry.path else ""
        return cls.of(rule, Path(entry.file), entry.line, where + message, repair)

    @classmethod
    def of(
        cls, rule: str, file: Path, line: int, message: str, repair: str = ""
    ) -> "Finding":
        """Return what is wrong, as weighty as its rule is."""
        severity = Severity.WARNING if rule in _WARNINGS else Severity.ERROR
        return cls(rule, str(file), line, message, repair, severity)

    def strictly(self) -> "Finding":
        """Return the same as an error."""
        return evolve(self, severity=Severity.ERROR)

    def __str__(self) -> str:
        """Return the finding as one line."""
        tail = f" ({self.repair})" if self.repair else ""
        place = f"{self.file}:{self.line}"
        return f"{place}: {self.severity} {self.rule}: {self.message}{tail}"

    def as_json(self) -> dict[str, object]:
        """Return the finding as JSON-like data."""
        return asdict(self)
