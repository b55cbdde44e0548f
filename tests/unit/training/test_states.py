"""The state that processes leave, and who can go on from it."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from aprhub.api import CorruptFileError, EnvironmentFailureError
from aprhub.course import Course
from aprhub.pretraining.states import States
from aprhub.training.processes import Processes
from aprhub.training.progress import Progress
from aprhub.training.sharding import whole
from aprhub.training.trainer import Trainer
from tests.unit.training.together import Pool, together
from tests.unit.training.toy import ALONE, course, losses, model, trainer

SHARDED = course(parallel="fsdp")


def saved(found: Trainer, folder: Path, step: int = 5) -> dict[str, Any]:
    """Train to a step, save the state, and return the weights that are given."""
    losses(found, step)
    with States(folder, found).saved(Progress(step=step), {"seed": 42}) as given:
        return {name: tensor.numpy() for name, tensor in given.items()}


def begun(processes: Processes, folder: Path, chosen: Course) -> None:
    saved(trainer(chosen, None, processes), folder)


def gone_on(processes: Processes, folder: Path, chosen: Course) -> list[float]:
    """Return the losses of the steps after the fifth, from the state in a folder."""
    found = trainer(chosen, model(seed=9), processes)
    state = States(folder, found).last
    progress, told = state.described()
    state.load(found.decoder, found.optimizer, progress.step)
    assert told == {"seed": 42}
    return [found.step(number).loss for number in range(progress.step, 8)]


def straight(processes: Processes, chosen: Course) -> list[float]:
    return losses(trainer(chosen, None, processes), 8)[5:]


@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_two_processes_go_on_to_the_bit(mode: str, pool: Pool, tmp_path: Path) -> None:
    chosen = course(parallel=mode)

    together(pool, begun, tmp_path, chosen)

    expected = together(pool, straight, chosen)
    assert together(pool, gone_on, tmp_path, chosen) == expected


def test_a_sharded_state_goes_on_in_other_processes(pool: Pool, tmp_path: Path) -> None:
    expected = pytest.approx(straight(ALONE, course()), rel=1e-5)

    together(pool, begun, tmp_path, SHARDED)

    assert gone_on(ALONE, tmp_path, course()) == expected
    assert together(pool, gone_on, tmp_path, course())[0] == expected


def test_the_state_of_one_process_goes_on_sharded(pool: Pool, tmp_path: Path) -> None:
    begun(ALONE, tmp_path, course())

    found = together(pool, gone_on, tmp_path, SHARDED)

    assert found[0] == pytest.approx(straight(ALONE, course()), rel=1e-5)


def given_and_held(
    processes: Processes, folder: Path, family: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the weights that come with a state, and those that processes have."""
    found = trainer(SHARDED, model(family), processes)
    given = saved(found, folder, 1)
    held = found.decoder.named_parameters()
    return given, {name: whole(each.detach()).numpy() for name, each in held}


@pytest.mark.parametrize("family", ["llama", "qwen2_moe"])
def test_the_first_process_is_given_whole_weights(
    family: str, pool: Pool, tmp_path: Path
) -> None:
    """A gate of qwen2_moe has one row, which only one process can have."""
    (given, held), (nothing, _) = together(pool, given_and_held, tmp_path, family)

    assert list(given) == list(held)
    assert all(np.array_equal(given[name], held[name]) for name in held)
    assert nothing == {}


def filled(processes: Processes, folder: Path, rank: int) -> str:
    """Save a state on a disk that is full for one process; return the complaint."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    found = trainer(SHARDED, None, processes)
    chosen = full if processes.place.rank == rank else os.fsync
    with patch("os.fsync", chosen), pytest.raises(EnvironmentFailureError) as caught:
        saved(found, folder, 1)
    return str(caught.value)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_state_that_one_cannot_write_leaves_the_last_one(
    rank: int, pool: Pool, tmp_path: Path
) -> None:
    together(pool, begun, tmp_path, SHARDED)

    complaints = together(pool, filled, tmp_path, rank)

    for each in complaints:
        assert "the state of step 1 could not be written" in each
        assert "No space left on device" in each
    assert len(together(pool, gone_on, tmp_path, SHARDED)[0]) == 3


def test_what_a_killed_process_left_is_removed(pool: Pool, tmp_path: Path) -> None:
    left = tmp_path / "state" / ".step-000003.partial"
    left.mkdir(parents=True)
    (left / "shard-00001-model-00001-of-00001.safetensors").write_bytes(b"half")

    together(pool, begun, tmp_path, SHARDED)

    assert [each.name for each in left.parent.iterdir()] == ["step-000005"]


def test_the_later_state_of_two_counts(pool: Pool, tmp_path: Path) -> None:
    together(pool, begun, tmp_path, SHARDED)
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    found = trainer()
    saved(found, tmp_path, 7)
    assert not (tmp_path / "state").exists()

    (tmp_path / "copy").rename(tmp_path / "state")

    assert States(tmp_path, found).last.described()[0].step == 7


def test_a_sharded_state_of_another_model_is_refused(
    pool: Pool, tmp_path: Path
) -> None:
    together(pool, begun, tmp_path, SHARDED)
    other = trainer(given=model("qwen2"))

    with pytest.raises(CorruptFileError, match="not hold the state of this model"):
        States(tmp_path, other).last.load(other.decoder, other.optimizer, 5)


@pytest.mark.parametrize("name", ["run.json", "shard-00002-model-00001-of-00001"])
def test_a_damaged_sharded_state_is_refused(
    name: str, pool: Pool, tmp_path: Path
) -> None:
    together(pool, begun, tmp_path, SHARDED)
    (path,) = (tmp_path / "state" / "step-000005").glob(f"{name}*")
    path.write_bytes(path.read_bytes()[:30])

    with pytest.raises(CorruptFileError, match=r"step-000005"):
        gone_on(ALONE, tmp_path, course())
