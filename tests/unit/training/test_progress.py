"""When a training ends, and why."""

import pytest

from aprhub.api import ModelCheckError
from aprhub.training.progress import Progress
from tests.unit.training.toy import course


def measured(*losses: float) -> Progress:
    progress = Progress()
    for loss in losses:
        progress = progress.stepped(loss + 1).measured(loss)
    return progress


def test_the_best_measurement_is_remembered() -> None:
    found = measured(3.0, 2.0, 2.5)

    assert (found.step, found.best_step, found.best_loss) == (3, 2, 2.0)
    assert (found.val_loss, found.waited) == (2.5, 1)


def test_the_training_loss_is_the_mean_since_the_last_measurement() -> None:
    found = measured(3.0).stepped(2.0).stepped(4.0)

    assert found.train_loss == 3.0
    assert found.val_loss is None


def test_progress_survives_a_file() -> None:
    found = measured(3.0, 2.0).stepped(1 / 3)

    assert Progress.of(found.as_json()) == found


def test_a_training_ends_at_its_target() -> None:
    chosen = course(target_val_loss=2.0)

    assert measured(3.0).ending(chosen) is None
    assert measured(3.0, 1.9).ending(chosen) == "the validation loss reached 2.0"


def test_a_training_ends_when_patience_does() -> None:
    chosen = course(patience=2)

    assert measured(3.0, 3.1).ending(chosen) is None
    assert measured(3.0, 3.1, 3.0).ending(chosen) == (
        "the validation loss has not fallen below 3.0000, that of step 1, in 2"
        " measurements"
    )


def test_a_training_ends_with_its_steps() -> None:
    assert measured(3.0, 2.9).ending(course(num_steps=2)) == "all steps were done"


def test_a_training_that_goes_astray_is_an_error() -> None:
    with pytest.raises(
        ModelCheckError, match=r"rose to 4\.6000 from 3\.0000 at step 1"
    ):
        measured(3.0, 4.6).ending(course())
