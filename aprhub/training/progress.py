"""Progress: how far a training is, in numbers that a file can hold."""

from collections.abc import Mapping
from typing import Any, Self

from attrs import asdict, evolve, frozen

from aprhub.course import Course
from aprhub.errors import ModelCheckError

ASTRAY = 1.5
"""How many times the best measured loss is too much to go on."""


@frozen
class Progress:
    """How many steps were done, and what came of them; losses in nats per token.

    `train_loss` is the mean over the steps since the model was last measured, which
    are `counted` with the sum `summed`. `val_loss` is that of these very weights, None
    where they were not measured. `best_step` and `best_loss` are of the measurement
    with the lowest loss, and `waited` counts those since then.
    """

    step: int = 0
    summed: float = 0.0
    counted: int = 0
    train_loss: float | None = None
    val_loss: float | None = None
    best_step: int = 0
    best_loss: float | None = None
    waited: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return what `as_json` was made of."""
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as JSON-like data."""
        return asdict(self)

    def stepped(self, loss: float) -> "Progress":
        """Return the progress after one more step."""
        summed, counted = self.summed + loss, self.counted + 1
        return evolve(
            self,
            step=self.step + 1,
            summed=summed,
            counted=counted,
            train_loss=summed / counted,
            val_loss=None,
        )

    def measured(self, loss: float) -> "Progress":
        """Return the progress after the model was measured."""
        found = evolve(self, val_loss=loss, summed=0.0, counted=0)
        if self.best_loss is not None and loss >= self.best_loss:
            return evolve(found, waited=self.waited + 1)
        return evolve(found, best_step=self.step, best_loss=loss, waited=0)

    def ending(self, course: Course) -> str | None:
        """Return why a measured training is at its end, or None.

        Raises ModelCheckError where it went astray.
        """
        loss, best = self.val_loss, self.best_loss
        if loss is None or best is None:
            return None
        if loss > ASTRAY * best:
            what = f"the validation loss rose to {loss:.4f} from {best:.4f}"
            raise ModelCheckError(
                f"step {self.step}",
                f"{what} at step {self.best_step}, whose checkpoint is the best; train"
                " on from there in another --run-dir, with a lower --lr",
            )
        if course.target_val_loss is not None and loss <= course.target_val_loss:
            return f"the validation loss reached {course.target_val_loss}"
        if course.patience is not None and self.waited >= course.patience:
            return (
                f"the validation loss has not fallen below {best:.4f}, that of step"
                f" {self.best_step}, in {self.waited} measurements"
            )
        if self.step >= course.num_steps:
            return "all steps were done"
        return None
