"""States: what a run can go on from, one file or, of shared weights, a folder."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from aprhub.course import FSDP
from aprhub.errors import EnvironmentFailureError
from aprhub.ir.tensor import Tensor
from aprhub.pretraining.operation import SHARDED_STATE, STATE
from aprhub.training.optimizer import values_of
from aprhub.training.progress import Progress
from aprhub.training.state import State
from aprhub.training.trainer import Trainer

if TYPE_CHECKING:
    from aprhub.training.sharded_state import ShardedState


@frozen
class States:
    """The state of a run in a folder, written by its trainer's processes."""

    folder: Path
    trainer: Trainer

    @property
    def last(self) -> "State | ShardedState":
        """The state to go on from, whether or not it was written as it would be now.

        There are two forms where a process was killed before it removed the older one.
        """
        found: list[State | ShardedState] = []
        if self._file.path.is_file():
            found.append(self._file)
        if any((self.folder / SHARDED_STATE).glob("step-*")):
            found.append(self._sharded)
        return max(found, key=lambda state: state.described()[0].step)

    @contextmanager
    def saved(
        self, progress: Progress, told: Mapping[str, Any]
    ) -> Iterator[Mapping[str, Tensor]]:
        """Save the state, in place of the last one when the block ends.

        Gives the first process the weights of now. Raises EnvironmentFailureError when
        the machine cannot; then the last one stands.
        """
        trainer = self.trainer
        state = (trainer.decoder, trainer.optimizer, progress, told)
        first = trainer.processes.by_first
        if trainer.course.parallel == FSDP:
            with self._sharded.saved(*state) as weights:
                yield weights
            first(lambda: _remove(self._file.path))
        else:
            yield values_of(trainer.decoder)
            first(lambda: self._file.save(*state))
            first(lambda: _remove(self.folder / SHARDED_STATE))

    @property
    def _file(self) -> State:
        return State(self.folder / STATE)

    @property
    def _sharded(self) -> "ShardedState":
        from aprhub.training.sharded_state import ShardedState

        return ShardedState(self.folder / SHARDED_STATE, self.trainer.processes)


def _remove(path: Path) -> None:
    """Remove the state of the other form, which is older now."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentFailureError(
            f"{path}: the state of an earlier step cannot be removed: {error}; remove"
            " it, and go on with --resume"
        ) from error
