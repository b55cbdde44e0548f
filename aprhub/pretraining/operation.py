"""Pretrain: gates, then a run."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from aprhub.errors import UsageError
from aprhub.place import Place
from aprhub.pretraining.gates import refuse_unshared
from aprhub.pretraining.options import PretrainOptions, TrainingOptions
from aprhub.pretraining.outcome import Outcome
from aprhub.pretraining.products import WholeModel
from aprhub.pretraining.start import from_checkpoint, from_nothing
from aprhub.registry import Registry

STATE: Final = "state.safetensors"
SHARDED_STATE: Final = "state"
"""The file, or the folder, that a run can go on from."""

Watch = Callable[[Mapping[str, Any]], None]
"""Is told what every step and every measurement came to."""

Interrupted = Callable[[], str | None]
"""Returns why a run is to end after this step, such as a signal, or None."""


@frozen
class Audience:
    """Who is told of a run, and may end it.

    `begins` is told the sizes of what passed all gates, before anything is computed.
    """

    watch: Watch
    interrupted: Interrupted
    begins: Watch


def pretrain(
    options: PretrainOptions, registry: Registry, audience: Audience
) -> Outcome:
    """Train a model on text, from a checkpoint or from nothing.

    Raises an AprhubError that names the gate that was not passed; then nothing was
    trained.
    """
    refuse_at_once(options)
    if options.init is None:
        start = from_nothing(options, registry)
    else:
        start = from_checkpoint(options.init, options, registry)
    from aprhub.pretraining.run import run

    return run(start, options, WholeModel.of(start, options, registry), audience)


def refuse_at_once(options: TrainingOptions) -> None:
    """Refuse what is seen before anything is read: other runs, and the machine."""
    refuse_unshared(options.course, Place.found())
    _refuse_mixing_runs(options)
    _require_what_is_wanted(options)


def _refuse_mixing_runs(options: TrainingOptions) -> None:
    folder = options.run_dir
    there = (folder / STATE).is_file() or any((folder / SHARDED_STATE).glob("step-*"))
    if options.resume and not there:
        raise UsageError(
            f"{folder}: there is no {STATE} to go on from; leave --resume out to begin"
        )
    if not options.resume and there:
        raise UsageError(
            f"{folder}: there is a run; give --resume to go on with it, or another"
            " --run-dir to begin a new one"
        )


def _require_what_is_wanted(options: TrainingOptions) -> None:
    """Refuse what the machine has not got."""
    if options.plot is not None:
        from aprhub.pictures import require_drawable

        require_drawable(options.plot, force=options.resume)
    if options.tensorboard:
        from aprhub.training.board import require_board

        require_board()
    if options.course.device.startswith("cuda"):
        from aprhub.training.devices import device_of

        device_of(options.course.device, Place.found())
