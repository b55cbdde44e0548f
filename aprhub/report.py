"""Report: what a conversion did with every tensor and every key."""

from collections import Counter
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen

from aprhub.ir.casting import Loss
from aprhub.spec.format import KeyFate

SCHEMA = 1
"""Version of the JSON form; a change that could break a reader raises it."""


MERGED = "merged"
"""The step of a tensor whose values were changed."""


@frozen
class TensorFate:
    """What became of one tensor.

    `steps` says in order what was done besides copying: `renamed`, a transform's
    name, `decoded`, `cast`. Empty names mean that it was made here (`source`) or is
    not written (`target`).
    """

    source: str
    canonical: str
    target: str
    shape: tuple[int, ...]
    encoding: str
    stored_encoding: str
    nbytes: int
    steps: tuple[str, ...] = ()

    @property
    def is_copied(self) -> bool:
        """Whether the bytes are those of the source, perhaps with rows reordered."""
        made = any(step.startswith("merged") for step in self.steps)
        there = bool(self.source and self.target) and not made
        return there and self.encoding == self.stored_encoding


@frozen
class WrittenFile:
    """One file of the output and its exact size in bytes."""

    path: str
    nbytes: int


@frozen
class Report:
    """Everything that a conversion has to say; `inputs` are the models of a merge."""

    source: Path
    target: Path
    source_format: str
    target_format: str
    family: str | None
    naming: str
    tensors: tuple[TensorFate, ...]
    keys: tuple[KeyFate, ...]
    files: tuple[WrittenFile, ...]
    notes: tuple[str, ...] = ()
    losses: dict[str, Loss] = field(factory=dict)
    unrunnable: tuple[str, ...] = ()
    verified: str | None = None
    dry_run: bool = False
    seconds: float = 0.0
    inputs: tuple[Path, ...] = ()

    @property
    def nbytes(self) -> int:
        """The exact size of the output."""
        return sum(file.nbytes for file in self.files)

    def steps(self) -> Counter[str]:
        """Return how many tensors went through each step."""
        return Counter(step for tensor in self.tensors for step in tensor.steps)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-like data, with the version of its schema."""
        values = asdict(self, value_serializer=_plain)
        return {"schema": SCHEMA, **values, "nbytes": self.nbytes}


def _plain(_instance: object, _field: object, value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
