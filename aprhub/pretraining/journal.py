"""Journal: every event of a run, a line of JSON each."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, Self

from aprhub.errors import CorruptFileError

NAME: Final = "metrics.jsonl"


class Journal:
    """A file of events that is added to; lines after the step it goes on from go."""

    def __init__(self, path: Path, step: int | None) -> None:
        kept = [] if step is None else [e for e in events(path) if e["step"] <= step]
        text = "".join(map(_line, kept))
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text, "utf-8")
        partial.replace(path)
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Add one event; a process that is killed loses none that was added."""
        self._file.write(_line(event))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()


def _line(event: Mapping[str, Any]) -> str:
    return f"{json.dumps(event)}\n"


def events(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the events of a journal; a last line that a kill cut off is none.

    Raises CorruptFileError for any other line that is no event.
    """
    if not path.exists():
        return
    for number, line in enumerate(path.read_text("utf-8").splitlines(True), 1):
        if not line.endswith("\n"):
            return
        yield _event(path, number, line)


def _event(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("step"), int):
        raise CorruptFileError(
            path,
            f"found {line.rstrip()!r:.80}, expected an event of a run",
            where=f"line {number}",
            repair="move the file away to go on without its past",
        )
    return event
