"""The events of a run, over several processes."""

from pathlib import Path

import pytest

from aprhub.api import CorruptFileError
from aprhub.pretraining.journal import Journal, events


def steps(path: Path) -> list[int]:
    return [each["step"] for each in events(path)]


def test_a_journal_goes_on_after_a_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Journal(path, None) as journal:
        for step in range(5):
            journal({"step": step, "loss": 0.1})
    path.write_bytes(path.read_bytes() + b'{"step": 5, "lo')  # as a kill leaves it

    with Journal(path, 2) as journal:
        journal({"step": 3, "loss": 0.2})

    assert steps(path) == [0, 1, 2, 3]
    assert list(events(path))[-1]["loss"] == 0.2


def test_a_journal_that_does_not_go_on_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("whatever\n")
    with Journal(path, None) as journal:
        journal({"step": 0, "val_loss": 7.6})

    assert steps(path) == [0]


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"loss": 1.0}'])
def test_a_line_that_is_no_event_is_an_error(line: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 0}}\n{line}\n')

    with pytest.raises(CorruptFileError, match=r"line 2: found .*, expected an event"):
        steps(path)
