"""Ancestry: whether files are the inputs that a lineage records."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from aprhub import conversion
from aprhub.adapters.opening import adapter_fingerprint, open_adapter
from aprhub.errors import UnknownFormatError, about
from aprhub.hashing import MODEL
from aprhub.ir.model import LineageStep
from aprhub.lift import LiftOptions
from aprhub.lineage import TABLE, input_name
from aprhub.registry import Registry


@frozen
class Trace:
    """What became of one input that a step of a lineage records.

    `step` counts from 1, the oldest. `outcome` is `same` (`path` is that input),
    `differs` (`path` has its name, but `found` is another hash), `missing` (no file
    that was given is it), or `unknown` (the hash is of a kind that nobody here makes).
    """

    step: int
    operation: str
    name: str
    recorded: str
    outcome: str
    path: Path | None = None
    found: str | None = None


@frozen
class Ancestry:
    """What became of each recorded input, and the files that no step records."""

    traces: tuple[Trace, ...]
    unrecorded: tuple[Path, ...]

    @property
    def is_true(self) -> bool:
        """Whether every file is a recorded input; those that are missing may be."""
        differing = any(each.outcome == "differs" for each in self.traces)
        return not differing and not self.unrecorded

    def as_json(self) -> dict[str, Any]:
        """Return the outcomes as JSON-like data."""
        return {"schema": 1, "true": self.is_true, **asdict(self)}


def traced(
    lineage: Iterable[LineageStep], inputs: Sequence[Path], registry: Registry
) -> Ancestry:
    """Compare the inputs that a lineage records with files.

    A file is an input if it has its hash, whatever it is called now, and contradicts it
    if it has only its name; those of its name come first. Weights are read where the
    hash is one of a model. Raises an AprhubError for a file that is neither a model nor
    an adapter.
    """
    look = cache(partial(_fingerprint, registry))
    records = [
        _Record(number, step, name, recorded, look)
        for number, step in enumerate(lineage, 1)
        for name, recorded in step.inputs.items()
    ]
    owners = [record.owners(inputs) for record in records]
    # A conversion keeps the hash, so that one file may be the input of several steps.
    rest = [path for path in inputs if all(path not in each for each in owners)]
    pairs = zip(records, owners, strict=True)
    traces = tuple(record.trace(found, rest) for record, found in pairs)
    used = {each.path for each in traces}
    return Ancestry(traces, tuple(path for path in rest if path not in used))


@frozen
class _Reading:
    """How a file is read to be compared, as the step says that its inputs were."""

    lift: LiftOptions
    source_format: str | None
    hashed: bool


@frozen
class _Record:
    """One input of one step; `look` returns the fingerprint of a file."""

    number: int
    step: LineageStep
    name: str
    recorded: str
    look: Callable[[Path, _Reading], str]

    def owners(self, paths: Sequence[Path]) -> list[Path]:
        """Return the files that have the recorded hash, those of its name first."""
        if not self._is_known:
            return []
        found = [path for path in paths if self._found(path) == self.recorded]
        return sorted(found, key=lambda path: not _is_called(path, self.name))

    def trace(self, owners: Sequence[Path], others: Sequence[Path]) -> Trace:
        """Return what became of this input; `others` are inputs of no step."""
        owner = next(iter(owners), None)
        named = next((path for path in others if _is_called(path, self.name)), None)
        differs = named and not (owner and _is_called(owner, self.name))
        path = named if differs else owner
        outcome = "differs" if differs else "same" if owner else "missing"
        if not self._is_known:
            path, outcome = None, "unknown"
        found = self._found(path) if path else None
        told = self.number, self.step.operation, self.name, self.recorded
        return Trace(*told, outcome, path, found)

    @property
    def _is_known(self) -> bool:
        return self.recorded.startswith((TABLE, MODEL))

    def _found(self, path: Path) -> str:
        said = self.step.options
        lift = LiftOptions(
            said.get("naming"), said.get("family"), bool(said.get("lossy"))
        )
        hashed = self.recorded.startswith(MODEL)
        return self.look(path, _Reading(lift, said.get("source_format"), hashed))


def _fingerprint(registry: Registry, path: Path, reading: _Reading) -> str:
    with about(path):
        try:
            _, adapter = open_adapter(path, registry)
        except UnknownFormatError:
            opened = conversion.opened(
                path, registry, reading.lift, reading.source_format
            )
            return opened.origin(hashed=reading.hashed)[1]
        return adapter_fingerprint(adapter, hashed=reading.hashed)


def _is_called(path: Path, name: str) -> bool:
    """Return whether a recorded name is that of a path, or its second in one step."""
    own = input_name(path)
    return name == own or name.startswith(f"{own} (")
