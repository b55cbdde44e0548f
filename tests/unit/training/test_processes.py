"""Two processes that train one model: what they say, and that it is one training."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.distributed import GradBucket  # type: ignore[attr-defined]  # not listed

from aprhub.course import Course
from aprhub.errors import AprhubError, EnvironmentFailureError, UsageError
from aprhub.low_rank import LowRankOptions
from aprhub.training.optimizer import trained as moving
from aprhub.training.processes import Processes
from aprhub.training.sharding import is_sharded, whole
from aprhub.training.trainer import Trainer
from tests.unit.training.together import Pool, together
from tests.unit.training.toy import ALONE, course, model, trainer

MODES = ("ddp", "fsdp")
"""Both ways of sharing a model."""

Weights = Mapping[str, NDArray[np.float32]]


def weights(found: Trainer) -> Weights:
    return {
        name: whole(each.detach()).numpy()
        for name, each in found.decoder.named_parameters()
    }


def trained(
    processes: Processes, chosen: Course, family: str
) -> tuple[list[float], list[float], float, Weights]:
    """Return what four steps come to: losses, norms, validation loss and weights."""
    found = trainer(chosen, model(family), processes)
    done = [found.step(number) for number in range(4)]
    loss = found.validation_loss()
    norms = [each.grad_norm for each in done]
    return [each.loss for each in done], norms, loss, weights(found)


@pytest.mark.parametrize(
    ("family", "chosen"),
    [
        ("llama", {}),
        ("qwen2_moe", {"accumulate": 2}),
        ("gemma3", {"activation_checkpointing": True}),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_two_processes_train_as_one(
    mode: str, family: str, chosen: dict[str, Any], pool: Pool
) -> None:
    one = trained(ALONE, course(**chosen), family)
    wanted = course(parallel=mode, **chosen)

    first, other = together(pool, trained, wanted, family)

    assert first[0] == pytest.approx(one[0], rel=1e-6)
    assert first[1] == pytest.approx(one[1], rel=2e-5)
    assert first[2] == pytest.approx(one[2], rel=1e-6)
    for name, values in one[3].items():
        assert first[3][name] == pytest.approx(values, abs=2e-5), name
        assert np.array_equal(first[3][name], other[3][name]), name
    assert other[:3] == first[:3]


def pairs_trained(processes: Processes) -> tuple[list[float], Weights]:
    """Return what four steps make of pairs beside weights in four bits."""
    pairs = LowRankOptions(rank=4, alpha=8.0, quantized=True)
    found = trainer(course(), None, processes, pairs)
    losses = [found.step(number).loss for number in range(4)]
    return losses, {n: v.detach().numpy() for n, v in moving(found.decoder).items()}


def test_two_processes_train_the_pairs_of_one(pool: Pool) -> None:
    losses, expected = pairs_trained(ALONE)

    first, other = together(pool, pairs_trained)

    assert first[0] == other[0] == pytest.approx(losses, rel=1e-6)
    for name, matrix in expected.items():
        assert first[1][name] == pytest.approx(matrix, abs=2e-5), name
        assert np.array_equal(first[1][name], other[1][name]), name


def exchanges(processes: Processes, accumulate: int) -> int:
    """Return how often replicas add up their gradients in a step."""
    found, sent = trainer(course(accumulate=accumulate), None, processes), [0]

    def count(_state: None, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
        sent[0] += 1
        done = torch.futures.Future[torch.Tensor]()
        done.set_result(bucket.buffer())
        return done

    if found.replicas is not None:
        found.replicas.register_comm_hook(None, count)
    found.step(0)
    return sent[0]


def test_replicas_add_up_their_gradients_once_a_step(pool: Pool) -> None:
    assert together(pool, exchanges, 2) == together(pool, exchanges, 1) == [1, 1]


def shares(processes: Processes) -> tuple[int, int]:
    """Return how many weights a process has after a measurement, and of how many."""
    found = trainer(course(parallel="fsdp"), None, processes)
    found.validation_loss()
    every = list(found.decoder.parameters())
    parts = [each.to_local() for each in every if is_sharded(each)]
    return sum(map(torch.numel, parts)), sum(map(torch.numel, every))


def test_each_process_has_its_part_of_the_weights(pool: Pool) -> None:
    (first, total), (other, _) = together(pool, shares)

    assert first + other == total
    assert first == pytest.approx(total / 2, rel=0.01)


def agreed(processes: Processes, reasons: list[str | None]) -> str | None:
    return processes.agreed(reasons[processes.place.rank])


def test_a_reason_to_end_is_one_for_all(pool: Pool) -> None:
    assert together(pool, agreed, [None, "SIGTERM"]) == ["SIGTERM", "SIGTERM"]
    assert together(pool, agreed, [None, None]) == [None, None]


def refusal(processes: Processes, act: Callable[[Processes], object]) -> str:
    try:
        act(processes)
    except AprhubError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was refused"


def lose_second(processes: Processes) -> str | None:
    if not processes.place.is_first:
        raise UsageError("not here")
    return processes.agreed(None)


def test_a_process_that_fails_is_an_error_in_the_others(pool: Pool) -> None:
    with pytest.raises(EnvironmentFailureError, match="another process of the run"):
        together(pool, lose_second)

    assert together(pool, agreed, [None, "again"]) == ["again", "again"]


def fail_first(processes: Processes) -> None:
    def fail() -> None:
        raise UsageError(f"not in process {processes.place.rank}")

    processes.by_first(fail)


def disagree(processes: Processes) -> None:
    processes.refuse_disagreement({"seed": 42, "data": processes.place.rank})


def test_what_the_first_process_is_refused_ends_all(pool: Pool) -> None:
    first, other = together(pool, refusal, fail_first)

    assert first == "UsageError: not in process 0"
    assert other == (
        "EnvironmentFailureError: the first process of the run ended: not in process 0;"
        " mend that, and start all again"
    )


def test_processes_that_were_asked_for_different_things_are_refused(
    pool: Pool,
) -> None:
    assert together(pool, refusal, disagree) == 2 * [
        "UsageError: data is 0 in process 0 and 1 in 1; give all the same options and"
        " files"
    ]
