"""Start: the model that a run begins with, from a checkpoint or from nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from attrs import evolve, field, frozen

from aprhub.check import faults
from aprhub.detect import identify
from aprhub.errors import MissingFileError, ModelCheckError, UsageError, about
from aprhub.export.witness import checksum_faults
from aprhub.ir.config import ModelConfig
from aprhub.ir.model import ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.ir.tokenizer import Tokenizer
from aprhub.lift import KEEP, Lifted, lifted
from aprhub.pretraining.gates import (
    refuse_encoder,
    refuse_mismatch,
    refuse_vocabulary,
)
from aprhub.pretraining.options import PretrainOptions, TrainingOptions
from aprhub.pretraining.presets import BASELINE, preset, read_config
from aprhub.pretraining.tokens import marked, read_tokenizer, refuse_other_tokens
from aprhub.registry import Registry
from aprhub.spec.family import Family
from aprhub.spec.format import StoredModel
from aprhub.unpacking import prepared

MISSING: Final = "FALSIFY-APR-PRETRAIN-INIT-006"
"""The rule that a checkpoint that is not there is an error, never random weights."""


@frozen
class Start:
    """A model to train, with its tokenizer, and the checkpoint that it is from.

    Without `stored`, there are no tensors yet: the weights are still to be made, and
    those of the baseline are to be as many as it has.
    """

    model: ModelIR
    tokenizer: Tokenizer
    family: Family
    stored: StoredModel | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    is_baseline: bool = False


def from_checkpoint(path: Path, options: TrainingOptions, registry: Registry) -> Start:
    """Return a model to go on with, past all gates that compute nothing.

    They stand in this order: it is there, it is no encoder, its claim is that of its
    tensors, its sizes are sound, its tokenizer fits, its bytes are those of its
    checksums.
    """
    with about(path):
        return _from_checkpoint(path, options, registry)


def _from_checkpoint(path: Path, options: TrainingOptions, registry: Registry) -> Start:
    if not path.exists():
        what = f"there is no such checkpoint ({MISSING}); name one that is there"
        raise MissingFileError(path, what)
    if options.naming == KEEP:
        raise UsageError(
            "with names kept, nothing is known of how a model computes; leave out"
            " --naming keep"
        )
    stored = identify(path, registry, options.source_format).opened(path)
    refuse_encoder(stored)
    stored = prepared(stored, registry, options.naming)
    refuse_mismatch(stored, registry, options)
    found = lifted(stored, registry, options.lift)
    family = _checked(found, stored)
    tokenizer, said = _tokenizer(path, found.model.tokenizer, options, registry)
    refuse_vocabulary(tokenizer, found.model.config.vocab_size or 0, exact=False)
    damage = checksum_faults(stored.checksums)
    if damage:
        raise ModelCheckError(path, "damaged; nothing is trained from it", damage)
    model = evolve(found.model, tokenizer=tokenizer)
    unused, decoded = _unused(found.gone), _decoded(model.tensors.values())
    notes = (*found.notes, *said, *unused, *decoded)
    return Start(model, tokenizer, family, stored, notes)


def _checked(found: Lifted, stored: StoredModel) -> Family:
    """Return the family of what was lifted; weights are left to who needs them."""
    family = found.family
    if family is None:
        raise UsageError(
            "a model without a family cannot be trained; name one with --family"
        )
    wrong = [f for f in faults(found.model, family) if family.spec(f.subject) is None]
    if wrong:
        raise ModelCheckError(stored.path, f"not a sound {family.name} model", wrong)
    return family


def _tokenizer(
    path: Path, own: Tokenizer | None, options: TrainingOptions, registry: Registry
) -> tuple[Tokenizer, tuple[str, ...]]:
    """Return the tokenizer to train with, and what is to be said of it."""
    if options.tokenizer is not None:
        chosen = read_tokenizer(options.tokenizer, registry)
        refuse_other_tokens(options.tokenizer, chosen, own)
        return marked(chosen)
    if own is None:
        raise ModelCheckError(path, "it has no tokenizer; name one with --tokenizer")
    return own, ()


def _unused(gone: Mapping[str, str]) -> Iterator[str]:
    for name, why in gone.items():
        yield f"{name} is not used: {why}"


def _decoded(tensors: Iterable[Tensor]) -> Iterator[str]:
    """Say how many tensors are quantised, and trained from what is left of them."""
    names = Counter(t.encoding.name for t in tensors if t.encoding.is_quantized)
    for name, count in sorted(names.items()):
        lost = "what quantising lost stays lost"
        yield f"{count} tensors are decoded from {name}: {lost}"


def from_nothing(options: PretrainOptions, registry: Registry) -> Start:
    """Return a model that has a configuration and a tokenizer, and no weights yet."""
    config = _config(options, registry)
    family = registry.family(config.family or "")
    if options.tokenizer is None:
        raise UsageError("without --init, say whose tokens: --tokenizer PATH")
    tokenizer, notes = marked(read_tokenizer(options.tokenizer, registry))
    exact = options.preset is None and options.config is None
    with about(options.tokenizer):
        refuse_vocabulary(tokenizer, config.vocab_size or 0, exact=exact)
    model, is_baseline = ModelIR(config, {}, tokenizer), options.is_baseline
    return Start(model, tokenizer, family, notes=notes, is_baseline=is_baseline)


def _config(options: PretrainOptions, registry: Registry) -> ModelConfig:
    if options.config is not None:
        return read_config(options.config, registry)
    if options.preset is not None:
        return preset(options.preset, registry)
    config = preset(BASELINE, registry)
    rows = options.vocab_size
    return config if rows is None else evolve(config, vocab_size=rows)
