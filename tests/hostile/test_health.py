"""Every hostile input through the commands that look for what is wrong."""

from pathlib import Path

import pytest

from tests.hostile.case import Expected
from tests.hostile.program import run
from tests.hostile.trial import CONTROL, TRIALS, Trial


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize("trial", TRIALS, ids=str)
def test_a_hostile_input_is_found_out_and_nothing_else_happens(
    workplace: Path, trial: Trial
) -> None:
    path = trial.case.build(workplace)
    target = workplace / f"out{path.suffix if path.is_file() else ''}"

    for words in (("doctor", path, "--fix", "-o", target), ("validate", path)):
        done = run(*words)

        assert done.escaped is None
        assert "internal error" not in done.stderr
        assert not CONTROL.search(done.output)
        assert done.code in (0, 1, 3)
        if trial.case.inspects is Expected.REFUSED:
            assert done.code == 3 or "finding(s)" in done.stdout
