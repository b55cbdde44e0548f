"""Fine-tune: the gates of pretraining, then a run on the same machinery."""

from collections.abc import Iterator

from attrs import evolve

from aprhub.errors import about
from aprhub.finetuning.adapters import Pairs
from aprhub.finetuning.delivery import deliver, refuse_undeliverable
from aprhub.finetuning.options import FinetuneOptions
from aprhub.place import Place
from aprhub.pretraining.operation import Audience, refuse_at_once
from aprhub.pretraining.outcome import Outcome
from aprhub.pretraining.products import Product, WholeModel
from aprhub.pretraining.sizes import refuse_other_size
from aprhub.pretraining.start import Start, from_checkpoint
from aprhub.registry import Registry


def finetune(
    options: FinetuneOptions, registry: Registry, audience: Audience
) -> Outcome:
    """Train a model further, on conversations or on text: all of it, or an adapter.

    Raises an AprhubError that names the gate that was not passed; then nothing was
    trained.
    """
    refuse_at_once(options)
    if options.output is not None:
        refuse_undeliverable(options.output, options, registry)
    start = from_checkpoint(options.init, options, registry)
    if options.model_size is not None:
        with about(options.init):
            refuse_other_size(options.model_size, start.model.config, registry)
    from aprhub.pretraining.run import run

    found = run(start, options, _product(start, options, registry), audience)
    if options.output is None or audience.interrupted() is not None:
        return found
    if Place.found().is_first:
        deliver(found.best or found.checkpoint, options.output, options, registry)
    notes = (*found.notes, *_merged_otherwise(options))
    return evolve(found, output=options.output, notes=notes)


def _merged_otherwise(options: FinetuneOptions) -> Iterator[str]:
    if options.merge and options.low_rank and options.low_rank.quantized:
        what = "the adapter was trained beside weights in four bits, and is merged"
        yield f"{what} into those of {options.init}: losses differ from those above"


def _product(start: Start, options: FinetuneOptions, registry: Registry) -> Product:
    if options.low_rank is None:
        return WholeModel.of(start, options, registry)
    return Pairs.of(options, options.low_rank, registry)
