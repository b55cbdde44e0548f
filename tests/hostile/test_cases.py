"""Every case through every command that opens a file."""

from pathlib import Path

import pytest

from tests.hostile import apr_file, gguf_file, model_folder, safetensors_cases
from tests.hostile.case import Case, Expected, Writable
from tests.hostile.folder_cases import MARKER
from tests.hostile.program import run
from tests.hostile.trial import (
    TRIALS,
    Trial,
    complaints,
    converted,
    looked_at,
    unpacked,
)

VALID: dict[str, Writable] = {
    "gguf": gguf_file.valid(),
    "apr": apr_file.valid(),
    "folder": model_folder.valid(),
    "shards": model_folder.sharded(),
}


@pytest.mark.parametrize("target", ["out.apr", "out.gguf", "out"])
@pytest.mark.parametrize("name", VALID)
def test_the_files_that_are_broken_here_are_valid_to_begin_with(
    workplace: Path, name: str, target: str
) -> None:
    path = VALID[name].write(workplace)

    looked = [run(command, path) for command in ("inspect", "tensors")]
    outcome = run("convert", path, workplace / target)

    assert [each.output for each in looked if each.code] == []
    assert (outcome.code, outcome.escaped) == (0, None), outcome.output


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize("trial", TRIALS, ids=str)
def test_a_hostile_input_meets_its_answer(workplace: Path, trial: Trial) -> None:
    source, target = workplace / "source", workplace / "target"
    source.mkdir()
    target.mkdir()

    path = trial.case.build(source)
    found = [*looked_at(path, trial.case), *converted(path, trial, target)]

    assert found == []
    assert list(workplace.rglob(MARKER)) == []


UNSOUND = [
    trial
    for trial in TRIALS
    if trial.case.inspects is Expected.EITHER
    and trial.case.converts in (Expected.REFUSED, Expected.REPORTED)
]


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize("trial", UNSOUND, ids=str)
def test_an_unsound_model_does_not_become_a_folder_unsaid(
    workplace: Path, trial: Trial
) -> None:
    source, target = workplace / "source", workplace / "target"
    source.mkdir()
    target.mkdir()

    found = unpacked(trial.case.build(source), trial, target)

    assert found == []


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize("name", sorted({trial.format for trial in TRIALS}))
def test_a_broken_container_is_not_compared(workplace: Path, name: str) -> None:
    valid = gguf_file.valid().write(workplace)
    trials = [each for each in TRIALS if each.format == name]
    broken = [each for each in trials if each.case.inspects is Expected.REFUSED]

    outcomes = {}
    for number, trial in enumerate(broken):
        folder = workplace / str(number)
        folder.mkdir()
        outcomes[str(trial)] = run("diff", trial.case.build(folder), valid)

    assert {
        trial: outcome
        for trial, outcome in outcomes.items()
        if outcome.code != 3 or complaints(outcome, trials[0].case, Expected.EITHER)
    } == {}


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize("case", safetensors_cases.CASES, ids=str)
def test_a_hostile_weights_file_meets_its_answer_alone(
    workplace: Path, case: Case
) -> None:
    path = case.build(workplace) / model_folder.WEIGHTS

    found = looked_at(path, case)

    assert found == []
