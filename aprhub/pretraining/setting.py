"""Setting: what a run needs besides its loop: a trainer, text, what is said of both."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from aprhub import lineage
from aprhub.corpus import Corpus, CorpusOptions, prepared
from aprhub.decoder.plan import Plan
from aprhub.decoder.weights import Loaded, loaded, refuse_no_numbers
from aprhub.errors import UsageError
from aprhub.ir.model import LineageStep, ModelIR
from aprhub.pretraining.gates import refuse_short_corpus, scarce_text
from aprhub.pretraining.options import PretrainOptions
from aprhub.pretraining.presets import refuse_outside_band
from aprhub.pretraining.start import Start
from aprhub.spec.format import StoredModel
from aprhub.training.devices import device_of
from aprhub.training.fresh import fresh_weights
from aprhub.training.optimizer import optimizer_of
from aprhub.training.trainer import Trainer
from aprhub.training.work import work_per_token


@frozen
class Setting:
    """A model that can be trained, and the text for it; all gates but one are passed.

    `told` is what decides the weights that come out: another run that is told the
    same can go on with this one. `model` is all of a checkpoint but its tensors, and
    `step` the operation in its lineage but for its losses.
    """

    trainer: Trainer
    told: Mapping[str, Any]
    model: ModelIR
    step: LineageStep
    notes: tuple[str, ...]


def setting(start: Start, options: PretrainOptions) -> Setting:
    """Return what a run is made of; the gates of weights and of text are here."""
    found = _loaded(start, options)
    corpus, data = _corpus(start, options)
    refuse_short_corpus(corpus.train, options)
    told = {**options.told, **data, "start": _fingerprint(start)}
    count = sum(each.numel() for each in found.decoder.parameters())
    notes = (
        *(f"{name} is not used: the model has no such weight" for name in found.extras),
        *scarce_text(options, count),
    )
    return Setting(
        _trainer(found, corpus, start, options),
        told,
        _described(start, options),
        _lineage(start, options, told),
        (*start.notes, *notes),
    )


def _loaded(start: Start, options: PretrainOptions) -> Loaded:
    """Return the decoder with all weights of the start, on the device."""
    course, model = options.course, start.model
    if _is_baseline(options):
        shapes = Plan.of(model.config, start.family).shapes
        refuse_outside_band(sum(map(math.prod, shapes.values())))
    if start.stored is None:
        weights = fresh_weights(model.config, start.family, course.seed)
        model = evolve(model, tensors=weights)
    found = loaded(model, start.family, device=device_of(course.device))
    refuse_no_numbers(found.decoder)
    return found


def _is_baseline(options: PretrainOptions) -> bool:
    chosen = (options.init, options.preset, options.config, options.vocab_size)
    return all(each is None for each in chosen)


def _trainer(
    found: Loaded, corpus: Corpus, start: Start, options: PretrainOptions
) -> Trainer:
    course, decoder = options.course, found.decoder
    decoder.recomputes = course.activation_checkpointing
    if course.compiled:
        decoder.compile()
    shapes = {name: tuple(each.shape) for name, each in decoder.named_parameters()}
    return Trainer(
        decoder,
        optimizer_of(decoder, course),
        corpus.train.batches(course.batch_size, course.seed, epochs=options.epochs),
        corpus.validation,
        course,
        device_of(course.device),
        work_per_token(shapes, start.model.config, options.seq_len),
    )


def _corpus(start: Start, options: PretrainOptions) -> tuple[Corpus, Mapping[str, str]]:
    """Return the text to train on and to measure with, and what tells it from others.

    The text of `validation` takes the place of the part that is else kept apart.
    """
    config = start.model.config
    context = config.max_position_embeddings or 0
    if options.seq_len > context:
        what = f"the model is made for {context} tokens, not for {options.seq_len}"
        raise UsageError(f"{what}; use shorter sequences (--seq-len)")
    wanted = CorpusOptions(
        seq_len=options.seq_len,
        validation_fraction=options.validation_fraction,
        text_key=options.text_key,
        separator=options.separator,
        cache=options.cache,
        vocab_size=config.vocab_size,
    )
    if not options.validation:
        corpus = prepared(options.dataset, start.tokenizer, wanted)
        return corpus, {"data": corpus.fingerprint}
    whole = evolve(wanted, validation_fraction=0)
    corpus, other = (
        prepared(sources, start.tokenizer, whole)
        for sources in (options.dataset, options.validation)
    )
    told = {"data": corpus.fingerprint, "validation": other.fingerprint}
    return evolve(corpus, validation=other.train), told


def _fingerprint(start: Start) -> str:
    nothing = StoredModel("nothing", Path(), {}, start.model.config)
    return lineage.fingerprint(start.stored or nothing)


def _lineage(
    start: Start, options: PretrainOptions, told: Mapping[str, Any]
) -> LineageStep:
    names = [path.name for path in options.dataset]
    stored = start.stored
    inputs = [(stored.path, lineage.fingerprint(stored))] if stored else []
    return lineage.step("pretrain", inputs, {**told, "dataset": names})


def _described(start: Start, options: PretrainOptions) -> ModelIR:
    """Return all of a checkpoint that training does not change."""
    provenance = start.model.provenance
    names = ", ".join(path.name for path in options.dataset)
    before = provenance.data_source
    provenance = evolve(
        provenance,
        data_source=f"{before}; {names}" if before else names,
        data_license=options.data_license or provenance.data_license,
        license=options.license or provenance.license,
    )
    return evolve(start.model, tensors={}, provenance=provenance)
