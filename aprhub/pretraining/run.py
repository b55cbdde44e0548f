"""Run: a model, text and a folder, from the first step to the last."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from attrs import frozen

from aprhub.errors import UsageError, about
from aprhub.place import Place
from aprhub.pretraining.checkpoints import FOLDER, Checkpoints
from aprhub.pretraining.gates import recorded_loss, refuse_loss
from aprhub.pretraining.journal import NAME, Journal, events
from aprhub.pretraining.operation import Audience, Watch
from aprhub.pretraining.options import TrainingOptions
from aprhub.pretraining.outcome import Outcome
from aprhub.pretraining.products import Product
from aprhub.pretraining.setting import Setting, setting
from aprhub.pretraining.start import Start
from aprhub.pretraining.states import States
from aprhub.training.board import Board
from aprhub.training.loop import Loop
from aprhub.training.processes import joined
from aprhub.training.progress import Progress


def run(
    start: Start, options: TrainingOptions, product: Product, audience: Audience
) -> Outcome:
    """Train what passed the gates, and return what came of it.

    Of several processes, the first writes and is watched.
    """
    with (
        about(options.init or options.run_dir),
        joined(Place.found(), options.course.device) as processes,
    ):
        found = setting(start, options, product, processes)
        folder = options.run_dir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        kept = Checkpoints(folder, options.keep, product, found.step)
        states = States(options.run_dir, found.trainer)
        recorded = recorded_loss(start.model.provenance, options.learns)
        return _Run(options, found, kept, states, recorded).outcome(audience)


@frozen
class _Run:
    """A run that is ready: what is trained, and where it is kept."""

    options: TrainingOptions
    setting: Setting
    checkpoints: Checkpoints
    states: States
    recorded: float | None

    def outcome(self, audience: Audience) -> Outcome:
        """Train to the end and return what came of it."""
        progress = self._resumed() if self.options.resume else None
        trainer, first = self.setting.trainer, None
        processes = trainer.processes

        def ended() -> str | None:
            return processes.agreed(audience.interrupted())

        with ExitStack() as stack:
            watchers: list[Watch] = []
            if processes.place.is_first:
                audience.begins(self.setting.sizes)
                watchers = [audience.watch, *self._records(progress, stack)]
            loop = Loop(trainer, _all(watchers), self.keep, ended)
            if progress is None:
                progress, first = self._begun(loop)
            progress, reason = loop.run(progress)
        processes.by_first(self._draw)
        return self._outcome(progress, reason, first)

    def _records(self, progress: Progress | None, stack: ExitStack) -> Iterator[Watch]:
        """Yield what writes every event down, until the stack unwinds."""
        folder, done = self.options.run_dir, progress.step if progress else None
        yield stack.enter_context(Journal(folder / NAME, done))
        if self.options.tensorboard:
            board = Board(folder / "tensorboard", done or 0)
            stack.callback(board.close)
            yield board

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
        state = self.states.last
        progress, told = state.described()
        wanted = self.setting.told
        changed = [n for n in {**told, **wanted} if told.get(n) != wanted.get(n)]
        if changed:
            name = sorted(changed)[0]
            was, now = told.get(name), wanted.get(name)
            raise UsageError(
                f"{state.path}: its {name} was {was!r}, now it is {now!r}; give what it"
                " began with, or another --run-dir for a new run"
            )
        trainer = self.setting.trainer
        state.load(trainer.decoder, trainer.optimizer, progress.step)
        return progress

    def keep(self, progress: Progress) -> None:
        """Leave a checkpoint and the state to go on from; then forget old ones."""
        losses = {"train_loss": progress.train_loss, "val_loss": progress.val_loss}
        said = {name: loss for name, loss in losses.items() if loss is not None}
        first = self.setting.trainer.processes.by_first
        with self.states.saved(progress, self.setting.told) as tensors:
            first(lambda: self.checkpoints.write(progress.step, tensors, said))
        first(lambda: self.checkpoints.forget(progress.best_step))

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
