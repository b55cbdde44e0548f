"""What a course allows, and its learning rates."""

import pytest

from aprhub.api import UsageError
from aprhub.course import LOWEST, Course, learning_rate


def rates(**chosen: object) -> list[float]:
    course = Course(num_steps=100, warmup_steps=10, lr=1.0, **chosen)  # type: ignore[arg-type]  # names are checked by attrs
    return [learning_rate(course, step) for step in range(100)]


def test_a_rate_rises_to_the_highest_in_the_warm_up() -> None:
    assert rates()[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])


def test_a_cosine_falls_to_a_tenth() -> None:
    found = rates()[10:]

    assert found == sorted(found, reverse=True)
    assert found[0] == 1
    assert found[45] == pytest.approx((1 + LOWEST) / 2)
    assert found[-1] == pytest.approx(LOWEST, abs=1e-2)


def test_a_stable_rate_falls_in_the_last_fifth() -> None:
    found = rates(schedule="wsd")[10:]

    assert found[:72] == [1] * 72
    assert found[72:] == pytest.approx([(90 - step) / 18 for step in range(72, 90)])


@pytest.mark.parametrize(
    ("chosen", "word"),
    [
        ({"batch_size": 0}, "batch_size is 0; give more than 0"),
        ({"batch_size": 6, "accumulate": 4}, "6 sequences are not 4 equal parts"),
        ({"num_steps": -1}, "num_steps is -1; give 0 or more"),
        ({"schedule": "linear"}, "choose one of cosine, wsd"),
        ({"precision": "f16"}, "choose one of f32, bf16"),
        ({"device": "cuda:16"}, "choose auto, cpu, cuda, or cuda:0 to cuda:15"),
        ({"device": "gpu"}, "choose auto"),
    ],
)
def test_a_course_that_makes_no_sense_is_refused(
    chosen: dict[str, object], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        Course(**chosen)  # type: ignore[arg-type]  # names are checked by attrs
