"""Pretrain: gates, then a run."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from aprhub.errors import UsageError
from aprhub.pretraining.options import PretrainOptions
from aprhub.pretraining.outcome import Outcome
from aprhub.pretraining.start import started
from aprhub.registry import Registry

STATE: Final = "state.safetensors"

Watch = Callable[[Mapping[str, Any]], None]
"""Is told what every step and every measurement came to."""

Interrupted = Callable[[], str | None]
"""Returns why a run is to end after this step, such as a signal, or None."""


def pretrain(
    options: PretrainOptions,
    registry: Registry,
    watch: Watch,
    interrupted: Interrupted,
) -> Outcome:
    """Train a model on text, from a checkpoint or from nothing.

    Raises an AprhubError that names the gate that was not passed; then nothing was
    trained.
    """
    _refuse_mixing_runs(options)
    _require_what_is_wanted(options)
    start = started(options, registry)
    from aprhub.pretraining.run import run

    return run(start, options, registry, (watch, interrupted))


def _refuse_mixing_runs(options: PretrainOptions) -> None:
    folder = options.run_dir
    if options.resume and not (folder / STATE).is_file():
        what = f"there is no {STATE} to go on from; begin without --resume"
        raise UsageError(f"{folder}: {what}")
    if not options.resume and (folder / STATE).exists():
        raise UsageError(
            f"{folder}: there is a run; --resume goes on with it, and another --run-dir"
            " begins a new one"
        )


def _require_what_is_wanted(options: PretrainOptions) -> None:
    """Refuse what the machine has not got, before anything is read."""
    if options.plot is not None:
        from aprhub.pictures import require_drawable

        require_drawable(options.plot, force=options.resume)
    if options.tensorboard:
        from aprhub.training.board import require_board

        require_board()
    if options.course.device.startswith("cuda"):
        from aprhub.training.devices import device_of

        device_of(options.course.device)
