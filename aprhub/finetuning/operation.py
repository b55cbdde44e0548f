"""Fine-tune: the gates of pretraining, then a run on the same machinery."""

from pathlib import Path

from aprhub.conversion import convert
from aprhub.detect import target_format
from aprhub.errors import TargetExistsError, about
from aprhub.finetuning.options import FinetuneOptions
from aprhub.options import ConvertOptions
from aprhub.pretraining.operation import Audience, refuse_at_once
from aprhub.pretraining.outcome import Outcome
from aprhub.pretraining.products import WholeModel
from aprhub.pretraining.sizes import refuse_other_size
from aprhub.pretraining.start import from_checkpoint
from aprhub.registry import Registry


def finetune(
    options: FinetuneOptions, registry: Registry, audience: Audience
) -> Outcome:
    """Train a model further, on conversations or on text.

    Raises an AprhubError that names the gate that was not passed; then nothing was
    trained.
    """
    refuse_at_once(options)
    if options.output is not None:
        _refuse_unwritable(options.output, registry)
    start = from_checkpoint(options.init, options, registry)
    if options.model_size is not None:
        with about(options.init):
            refuse_other_size(options.model_size, start.model.config, registry)
    from aprhub.pretraining.run import run

    found = run(start, options, WholeModel.of(start, options, registry), audience)
    if options.output is not None and audience.interrupted() is None:
        best = found.best or found.checkpoint
        convert(best, options.output, ConvertOptions(), registry)
    return found


def _refuse_unwritable(target: Path, registry: Registry) -> None:
    """Refuse before hours of training what would be refused after them."""
    target_format(target, registry)
    if target.exists():
        raise TargetExistsError(target)
