"""Board: the numbers of a run as TensorBoard shows them."""

from importlib.util import find_spec
from pathlib import Path

from aprhub.errors import EnvironmentFailureError
from aprhub.training.loop import Event


def require_board() -> None:
    """Raise EnvironmentFailureError where nothing can write for TensorBoard."""
    if find_spec("tensorboard") is None:
        raise EnvironmentFailureError(
            "--tensorboard: tensorboard is not installed; install it with"
            " pip install 'aprhub[train]'"
        )


class Board:
    """Writes every number of every event; those after the step it goes on from go."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def __call__(self, event: Event) -> None:
        """Write the numbers of one event."""
        step = event["step"]
        for name, value in event.items():
            if name != "step" and value is not None:
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is not written yet."""
        self._writer.close()
