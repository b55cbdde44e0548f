"""Setting: what a run needs besides its loop: a trainer, text, what is said of both."""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from aprhub import lineage
from aprhub.corpus import Corpus
from aprhub.course import FSDP
from aprhub.decoder.model import Decoder
from aprhub.decoder.plan import Plan
from aprhub.decoder.weights import Loaded, loaded
from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.model import LineageStep
from aprhub.pretraining.data import corpus_of
from aprhub.pretraining.gates import scarce_text
from aprhub.pretraining.options import TrainingOptions
from aprhub.pretraining.presets import refuse_outside_band
from aprhub.pretraining.products import Product
from aprhub.pretraining.sizes import sizes_of
from aprhub.pretraining.start import Start
from aprhub.spec.format import StoredModel
from aprhub.training.fresh import fresh_weights
from aprhub.training.nf4 import Nf4Linear
from aprhub.training.optimizer import optimizer_of, trained
from aprhub.training.processes import Processes
from aprhub.training.sharding import own_part, replicas_of, shard
from aprhub.training.trainer import Trainer
from aprhub.training.work import work_per_token


@frozen
class Setting:
    """A model that can be trained, and the text for it; all gates but one are passed.

    `told` is what decides the weights that come out: another run that is told the
    same can go on with this one. `step` is the operation in the lineage of checkpoints
    but for its losses, `sizes` what is said of the model before it is trained.
    """

    trainer: Trainer
    told: Mapping[str, Any]
    step: LineageStep
    sizes: Mapping[str, Any]
    notes: tuple[str, ...]


def setting(
    start: Start, options: TrainingOptions, product: Product, processes: Processes
) -> Setting:
    """Return what a run is made of; the gates of weights and of text are here."""
    found = _loaded(start, options, product, processes)
    corpus, data = corpus_of(start, options)
    begins = {"start": _fingerprint(start)}
    told = {**options.told, **product.told, **data, **begins}
    processes.refuse_disagreement(told)
    product.prepare(found.decoder)
    work = _work(start, options, found)
    trainer = _trainer(found.decoder, corpus, options, work, processes)
    return Setting(
        trainer,
        told,
        _lineage(start, options, told),
        _sizes(start, found, trainer),
        (*start.notes, *_notes(found, corpus, options)),
    )


def _loaded(
    start: Start, options: TrainingOptions, product: Product, processes: Processes
) -> Loaded:
    """Return the decoder with all weights of the start, or this process's part."""
    course, model = options.course, start.model
    if start.is_baseline:
        shapes = Plan.of(model.config, start.family).shapes
        refuse_outside_band(sum(map(math.prod, shapes.values())))
    if start.stored is None:
        weights = fresh_weights(model.config, start.family, course.seed)
        model = evolve(model, tensors=weights)
    if course.parallel == FSDP:
        divided = partial(shard, processes=processes)
        found = loaded(model, start.family, device=processes.device, prepare=divided)
    else:
        found = loaded(model, start.family, prepare=product.outline)
    _refuse_no_numbers(found.decoder)
    return found


def _refuse_no_numbers(decoder: Decoder) -> None:
    """Raise ModelCheckError for weights that are NaN or infinite.

    A row of an embedding can be, and no loss is, as long as the text has no such token.
    The scale of a quantised block is, if a weight in it was.
    """
    scales = (
        (f"{name}.weight", module.scales)
        for name, module in decoder.named_modules()
        if isinstance(module, Nf4Linear)
    )
    faults = [
        Fault(
            name,
            "NaN or infinite values",
            "start from a file that 'aprhub validate' passes",
        )
        for name, each in (*decoder.named_parameters(), *scales)
        if not bool(own_part(each).isfinite().all())
    ]
    if faults:
        raise ModelCheckError("weights", "they hold no finite numbers", faults)


def _work(start: Start, options: TrainingOptions, found: Loaded) -> float:
    moving = {name: tuple(p.shape) for name, p in trained(found.decoder).items()}
    still, config = found.shapes.keys() - moving.keys(), start.model.config
    return work_per_token({**found.shapes, **moving}, config, options.seq_len, still)


def _trainer(
    decoder: Decoder,
    corpus: Corpus,
    options: TrainingOptions,
    work: float,
    processes: Processes,
) -> Trainer:
    course, replicas = options.course, None
    decoder.recomputes = course.activation_checkpointing
    if course.compiled:
        decoder.compile()
    if course.parallel != FSDP:
        decoder.to(processes.device)
        replicas = replicas_of(decoder, processes) if processes.world > 1 else None
    return Trainer(
        decoder,
        optimizer_of(decoder, course),
        corpus.train.batches(course.batch_size, course.seed, epochs=options.epochs),
        corpus.validation,
        course,
        processes,
        work,
        replicas,
    )


def _sizes(start: Start, found: Loaded, trainer: Trainer) -> dict[str, Any]:
    return {
        **sizes_of(start.model.config),
        "parameters": found.parameters,
        "trained": sum(p.numel() for p in trained(trainer.decoder).values()),
        "device": str(trainer.processes.device),
    }


def _notes(found: Loaded, corpus: Corpus, options: TrainingOptions) -> Iterator[str]:
    for name in found.extras:
        yield f"{name} is not used: the model has no such weight"
    yield from _too_long(corpus)
    yield from scarce_text(options, found.parameters)


def _too_long(corpus: Corpus) -> Iterator[str]:
    told = {"cut": corpus.manifest.cut, "dropped": corpus.manifest.dropped}
    for what, count in told.items():
        if count:
            yield f"{count} conversations were {what}: they are longer than a sequence"


def _fingerprint(start: Start) -> str:
    nothing = StoredModel("nothing", Path(), {}, start.model.config)
    return lineage.fingerprint(start.stored or nothing)


def _lineage(
    start: Start, options: TrainingOptions, told: Mapping[str, Any]
) -> LineageStep:
    names = [path.name for path in options.dataset]
    stored = start.stored
    inputs = [(stored.path, lineage.fingerprint(stored))] if stored else []
    return lineage.step(options.operation, inputs, {**told, "dataset": names})
