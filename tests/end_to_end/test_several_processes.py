"""`aprhub pretrain` in two processes that torchrun starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest

from aprhub import open_model
from tests.end_to_end.test_pretraining import (
    CONFIG,
    await_step,
    from_nothing,
    last,
    losses,
    measured,
)
from tests.unit.cli.program import refused, succeed

pytestmark = pytest.mark.usefixtures("one_thread")

OFTEN = ("--steps-per-epoch", 4)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with prose, a configuration, and a run of one process."""
    place = tmp_path_factory.mktemp("processes")
    prose = "\n\n".join(topics[name] for name in sorted(topics))
    (place / "text.txt").write_text(prose[:60_000], "utf-8")
    (place / "pico.toml").write_text(CONFIG)
    succeed(*from_nothing(place, "run", *OFTEN))
    return place


def started(place: Path, name: str, *more: object) -> subprocess.Popen[str]:
    """Start a run in two processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words = map(str, from_nothing(place, name, *more))
    return subprocess.Popen(
        [*torchrun, "--nproc-per-node", "2", "-m", "aprhub", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(place: Path, name: str, *more: object) -> str:
    """Let two processes run to the end and return what they say."""
    process = started(place, name, *more)
    told, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    return told


def second(process: subprocess.Popen[str]) -> int:
    """Return the process of rank 1."""
    task = Path(f"/proc/{process.pid}/task/{process.pid}")
    children = (task / "children").read_text().split()
    places = {Path(f"/proc/{each}/environ").read_text(): each for each in children}
    return next(int(each) for text, each in places.items() if "\0RANK=1\0" in text)


def weights_agree(one: Path, other: Path) -> bool:
    first, second = open_model(one).tensors, open_model(other).tensors
    assert first.keys() == second.keys()
    return all(
        np.allclose(first[name].numpy(), second[name].numpy(), atol=2e-5)
        for name in first
    )


def test_sharded_weights_become_one_checkpoint_of_any_format(place: Path) -> None:
    words = ("--parallel", "fsdp", "--format", "gguf", "--steps-per-epoch", 20)
    told = ran(place, "fsdp", *words)
    found, expected = measured(place / "fsdp"), measured(place / "run")

    assert losses(place / "fsdp") == pytest.approx(losses(place / "run"), rel=1e-6)
    assert found == pytest.approx({0: expected[0], 20: expected[20]}, rel=1e-6)
    assert weights_agree(last(place), last(place, "fsdp"))
    assert [line[:12] for line in told.splitlines()].count("all steps we") == 1
    assert sorted(each.name for each in (place / "fsdp").iterdir()) == [
        "checkpoints",
        "metrics.jsonl",
        "state",
    ]
    assert [each.name for each in (place / "fsdp/state").iterdir()] == ["step-000020"]


def test_a_lost_process_ends_the_others_and_the_run_goes_on(place: Path) -> None:
    process = started(place, "killed", *OFTEN)
    await_step(place / "killed", 6)
    os.kill(second(process), signal.SIGKILL)
    _, complaint = process.communicate(timeout=120)
    before = len(losses(place / "killed"))

    assert process.returncode == 1
    assert "aprhub: error: another process of the run ended" in complaint
    assert 6 <= before < 20
    succeed(*from_nothing(place, "killed", *OFTEN, "--accumulate", 2), "--resume")
    assert losses(place / "killed") == pytest.approx(losses(place / "run"), rel=1e-6)
    assert weights_agree(last(place), last(place, "killed"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_two_processes_go_on_to_the_bit(
    number: signal.Signals, mode: str, place: Path
) -> None:
    words = ("--parallel", mode, *OFTEN)
    whole, name = f"whole-{mode}", f"{mode}-{number}"
    if not (place / whole).exists():
        ran(place, whole, *words)
    process = started(place, name, *words)
    await_step(place / name, 6)
    os.kill(second(process), number)
    told, _ = process.communicate(timeout=120)
    before = losses(place / name)

    if number is signal.SIGTERM:
        assert "interrupted by SIGTERM" in told
        assert last(place, name).stem == f"step-{len(before):06}"
    assert 6 <= len(before) < 20
    ran(place, name, *words, "--resume")
    assert losses(place / name) == losses(place / whole)
    assert measured(place / name)[20] == measured(place / whole)[20]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--batch-size", 5), "5 sequences in a step cannot be shared by 2 processes:"),
        (
            ("--batch-size", 6, "--accumulate", 2),
            "6 sequences in a step cannot be shared by 2 processes in 2 parts each:"
            " use a --batch-size that 4 divides",
        ),
        (("--device", "cuda:0"), "--device cuda:0: each of 2 processes has a GPU of"),
    ],
)
def test_what_two_processes_cannot_share_is_refused(
    words: tuple[object, ...], what: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WORLD_SIZE", "2")

    assert what in refused(2, *from_nothing(place, "unshared", *words))
    assert not (place / "unshared").exists()


def test_sharing_needs_several_processes(place: Path) -> None:
    complaint = refused(2, *from_nothing(place, "alone", "--parallel", "fsdp"))

    assert "is for several processes, and this is one: start it with torchrun" in (
        complaint
    )
