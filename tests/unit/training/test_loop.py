"""When a loop measures, keeps and ends."""

from typing import Any

import pytest

from aprhub.course import Course
from aprhub.training.loop import Loop
from aprhub.training.progress import Progress
from tests.unit.training.toy import course, trainer


def looped(
    chosen: Course, progress: Progress, stop: int | None = None
) -> tuple[Progress, str, list[dict[str, Any]], list[int]]:
    events: list[dict[str, Any]] = []
    kept: list[int] = []

    def interrupted() -> str | None:
        return "enough" if events[-1]["step"] == stop else None

    loop = Loop(
        trainer(chosen),
        lambda event: events.append(dict(event)),
        lambda found: kept.append(found.step),
        interrupted,
    )
    found, reason = loop.run(progress)
    return found, reason, events, kept


def test_a_model_is_kept_where_it_is_measured_and_at_the_end() -> None:
    found, reason, events, kept = looped(course(num_steps=5), Progress())

    assert reason == "all steps were done"
    assert kept == [4, 5]
    assert [e["step"] for e in events if "val_loss" in e] == [4, 5]
    assert [e["step"] for e in events if "loss" in e] == [1, 2, 3, 4, 5]
    assert found.val_loss == events[-1]["val_loss"]


@pytest.mark.parametrize("stop", [2, 4])
def test_an_interruption_keeps_the_step_at_hand_once(stop: int) -> None:
    found, reason, _, kept = looped(course(), Progress(), stop)

    assert (found.step, reason) == (stop, "enough")
    assert kept == [stop]


def test_a_training_that_has_ended_stays_so() -> None:
    chosen = course(target_val_loss=9.0)
    ended, reason, _, _ = looped(chosen, Progress())

    again = looped(chosen, ended)

    assert again == (ended, reason, [], [])
    assert ended.step == 4
