"""Run: a model, text and a folder, from the first step to the last."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from attrs import frozen

from aprhub.errors import UsageError, about
from aprhub.pretraining.checkpoints import FOLDER, Checkpoints
from aprhub.pretraining.gates import recorded_loss, refuse_loss
from aprhub.pretraining.journal import NAME, Journal, events
from aprhub.pretraining.operation import STATE, Audience, Watch
from aprhub.pretraining.options import TrainingOptions
from aprhub.pretraining.outcome import Outcome
from aprhub.pretraining.products import Product
from aprhub.pretraining.setting import Setting, setting
from aprhub.pretraining.start import Start
from aprhub.training.board import Board
from aprhub.training.loop import Loop
from aprhub.training.progress import Progress
from aprhub.training.state import State


def run(
    start: Start, options: TrainingOptions, product: Product, audience: Audience
) -> Outcome:
    """Train what passed the gates, and return what came of it."""
    with about(options.init or options.run_dir):
        found = setting(start, options, product)
        folder = options.run_dir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        kept = Checkpoints(folder, options.keep, product, found.step)
        state = State(options.run_dir / STATE)
        recorded = recorded_loss(start.model.provenance, options.learns)
        return _Run(options, found, kept, state, recorded).outcome(audience)


@frozen
class _Run:
    """A run that is ready: what is trained, and where it is kept."""

    options: TrainingOptions
    setting: Setting
    checkpoints: Checkpoints
    state: State
    recorded: float | None

    def outcome(self, audience: Audience) -> Outcome:
        """Train to the end and return what came of it."""
        progress = self._resumed() if self.options.resume else None
        audience.begins(self.setting.sizes)
        folder, first = self.options.run_dir, None
        done = progress.step if progress else 0
        with ExitStack() as stack:
            journal = Journal(folder / NAME, done if progress else None)
            watchers: list[Watch] = [audience.watch, stack.enter_context(journal)]
            if self.options.tensorboard:
                board = Board(folder / "tensorboard", done)
                stack.callback(board.close)
                watchers.append(board)
            trainer, told = self.setting.trainer, _all(watchers)
            loop = Loop(trainer, told, self.keep, audience.interrupted)
            if progress is None:
                progress, first = self._begun(loop)
            progress, reason = loop.run(progress)
        self._draw()
        return self._outcome(progress, reason, first)

    def _begun(self, loop: Loop) -> tuple[Progress, float | None]:
        """Measure the model before it is trained; return what to go on from.

        The last gate is here: a start that is worse than its checkpoint says.
        """
        measured = loop.measured(Progress())
        loss = measured.val_loss
        if loss is not None:
            accepted = self.options.accept_init_loss
            refuse_loss(self.recorded, loss, accepted=accepted)
        if self.options.course.num_steps == 0:
            self.keep(measured)
            return measured, loss
        return Progress(), loss

    def _resumed(self) -> Progress:
        """Put the weights back, and return how far they were trained.

        Raises UsageError where the run was asked for otherwise.
        """
        progress, told = self.state.described()
        wanted = self.setting.told
        changed = [n for n in {**told, **wanted} if told.get(n) != wanted.get(n)]
        if changed:
            name = sorted(changed)[0]
            was, now = told.get(name), wanted.get(name)
            what = f"its {name} was {was!r}, now it is {now!r}"
            raise UsageError(
                f"{self.state.path}: {what}; a run goes on as it began, or a new one"
                " begins in another --run-dir"
            )
        trainer = self.setting.trainer
        self.state.load(trainer.decoder, trainer.optimizer, progress.step)
        return progress

    def keep(self, progress: Progress) -> None:
        """Leave a checkpoint and the state to go on from; then forget old ones."""
        losses = {"train_loss": progress.train_loss, "val_loss": progress.val_loss}
        said = {name: loss for name, loss in losses.items() if loss is not None}
        trainer, told = self.setting.trainer, self.setting.told
        self.checkpoints.write(progress.step, trainer.decoder, said)
        self.state.save(trainer.decoder, trainer.optimizer, progress, told)
        self.checkpoints.forget(progress.best_step)

    def _draw(self) -> None:
        if self.options.plot is not None:
            from aprhub.pictures import draw_losses

            draw_losses(list(events(self.options.run_dir / NAME)), self.options.plot)

    def _outcome(self, progress: Progress, reason: str, first: float | None) -> Outcome:
        best = progress.best_loss is not None
        paths, batch = self.checkpoints.path, self.options.course.batch_size
        return Outcome(
            self.options.run_dir,
            paths(progress.step),
            paths(progress.best_step) if best else None,
            progress.step,
            reason,
            self.setting.sizes,
            progress.step * batch * self.options.seq_len,
            progress.train_loss,
            progress.val_loss,
            first,
            self.recorded,
            self.setting.notes,
        )


def _all(watchers: list[Watch]) -> Watch:
    def watch(event: Mapping[str, Any]) -> None:
        for each in watchers:
            each(event)

    return watch
