"""What gates are asked to do, and what they say."""

from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen

from aprhub.options import RunOptions

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"


@frozen
class AcceptanceOptions:
    """What the gates are asked to do.

    `skipped` are gates that are left out. `against` is another file of the same model,
    for `format_parity`; `floor` is in tokens per second, for `throughput`.
    `min_executed` is how many gates have to pass or fail.
    """

    skipped: frozenset[str] = frozenset()
    against: Path | None = None
    max_tokens: int = 32
    iterations: int = 10
    warmup: int = 3
    floor: float | None = None
    min_executed: int = 1
    run: RunOptions = field(factory=RunOptions)


@frozen
class Verdict:
    """What a gate said, and the seconds that it took."""

    gate: str
    outcome: str
    reason: str
    seconds: float = 0.0


@frozen
class Acceptance:
    """The verdicts of all gates."""

    path: Path
    verdicts: tuple[Verdict, ...]
    min_executed: int

    @property
    def executed(self) -> int:
        """How many gates passed or failed."""
        return sum(each.outcome != SKIP for each in self.verdicts)

    @property
    def passed(self) -> bool:
        """Whether no gate failed and enough of them were asked."""
        failed = any(each.outcome == FAIL for each in self.verdicts)
        return not failed and self.executed >= self.min_executed

    def as_json(self) -> dict[str, Any]:
        """Return the verdicts as JSON-like data."""
        return {
            "schema": 1,
            "path": str(self.path),
            "passed": self.passed,
            "executed": self.executed,
            "min_executed": self.min_executed,
            "gates": [asdict(each) for each in self.verdicts],
        }
