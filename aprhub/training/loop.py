"""Loop: steps, and every so often a measurement that is kept."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import asdict, frozen

from aprhub.training.progress import Progress
from aprhub.training.trainer import Trainer

Event = Mapping[str, Any]
"""What a step or a measurement came to, as JSON-like data with its `step`."""

Interrupted = Callable[[], str | None]
"""Returns why a training is to end now, such as a signal, or None."""


@frozen
class Loop:
    """Trains until the end of the course, or until there is a reason to stop.

    `watch` is told every event; `keep` is to keep the model as it is now.
    """

    trainer: Trainer
    watch: Callable[[Event], None]
    keep: Callable[[Progress], None]
    interrupted: Interrupted

    def run(self, progress: Progress) -> tuple[Progress, str]:
        """Go on from a progress; return the last one, and why it is the last.

        Raises ModelCheckError where the numbers went astray.
        """
        course = self.trainer.course
        reason = progress.ending(course)
        while reason is None:
            progress = self._stepped(progress)
            done = progress.step == course.num_steps
            if done or not progress.step % course.steps_per_epoch:
                progress = self.measured(progress)
                reason = progress.ending(course)
            reason = reason or self.interrupted()
            if reason or progress.val_loss is not None:
                self.keep(progress)
        return progress, reason

    def measured(self, progress: Progress) -> Progress:
        """Return the progress with the loss on the text that is kept apart."""
        loss = self.trainer.validation_loss()
        self.watch({"step": progress.step, "val_loss": loss})
        return progress.measured(loss)

    def _stepped(self, progress: Progress) -> Progress:
        done = self.trainer.step(progress.step)
        progress = progress.stepped(done.loss)
        self.watch({"step": progress.step, **asdict(done)})
        return progress
