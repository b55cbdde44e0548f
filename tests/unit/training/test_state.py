"""Going on from a file, exactly."""

import errno
from pathlib import Path

import pytest
from safetensors import safe_open

from aprhub.api import CorruptFileError, EnvironmentFailureError
from aprhub.training.progress import Progress
from aprhub.training.state import State
from tests.unit.training.toy import course, losses, model, trainer


def test_a_training_goes_on_to_the_bit(tmp_path: Path) -> None:
    whole = losses(trainer(), 8)
    first = trainer()
    losses(first, 5)
    state = State(tmp_path / "state.safetensors")
    state.save(first.decoder, first.optimizer, Progress(step=5), {"seed": 42})

    second = trainer(given=model(seed=9))
    progress, told = state.described()
    state.load(second.decoder, second.optimizer, progress.step)

    assert told == {"seed": 42}
    assert [second.step(number).loss for number in range(5, 8)] == whole[5:]
    assert [each.name for each in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_state_holds_what_is_trained_and_nothing_else(tmp_path: Path) -> None:
    found, state = trainer(), State(tmp_path / "state.safetensors")
    found.decoder.requires_grad_(False)
    name = "layers.1.ffn.up.weight"
    found.decoder.get_parameter(name).requires_grad_(True)

    state.save(found.decoder, found.optimizer, Progress(), {})

    with safe_open(state.path, "pt") as file:
        held = set(file.keys())
    assert held == {f"{kind}/{name}" for kind in ("weight", "exp_avg", "exp_avg_sq")}


def test_the_state_of_another_model_is_refused(tmp_path: Path) -> None:
    one, other = trainer(), trainer(given=model("qwen2"))
    state = State(tmp_path / "state.safetensors")
    state.save(one.decoder, one.optimizer, Progress(), {})

    with pytest.raises(
        CorruptFileError,
        match=r"it has no weight/layers\.0\.attn\.q\.weight of shape \(64, 64\)",
    ):
        state.load(other.decoder, other.optimizer, 0)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 9])
def test_a_file_that_is_no_state_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(content)

    with pytest.raises(CorruptFileError, match="no state of a run"):
        State(path).described()


def test_a_state_that_cannot_be_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, state = trainer(course()), State(tmp_path / "state.safetensors")
    state.save(found.decoder, found.optimizer, Progress(step=3), {})

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EnvironmentFailureError, match="step 4 could not be written"):
        state.save(found.decoder, found.optimizer, Progress(step=4), {})

    assert state.described()[0].step == 3
    assert [each.name for each in tmp_path.iterdir()] == ["state.safetensors"]
