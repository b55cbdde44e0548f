"""Outcome: what a training came to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

SCHEMA = 1
"""Version of the JSON form; a change that could break a reader raises it."""


@frozen
class Outcome:
    """What a run came to; losses in nats per token.

    `reason` says why it ended, `sizes` what was trained. `first_loss` is the validation
    loss before the first step, None where the run went on from an earlier one;
    `recorded_loss` is what the model said of itself. `checkpoint` is that of the last
    step, `best` the one with the lowest validation loss, None where nothing was
    measured yet. `output` is what was made of the best besides.
    """

    run_dir: Path
    checkpoint: Path
    best: Path | None
    step: int
    reason: str
    sizes: Mapping[str, Any]
    tokens: int
    train_loss: float | None
    val_loss: float | None
    first_loss: float | None
    recorded_loss: float | None
    notes: tuple[str, ...]
    output: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON-like data."""
        return {"schema": SCHEMA, **asdict(self)}
