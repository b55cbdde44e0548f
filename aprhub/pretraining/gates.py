"""Gates: what a start has to pass, in this order, before anything is trained.

None needs torch, so that a wrong file is refused at once.
"""

import re
from collections.abc import Iterator, Sized
from shlex import quote
from typing import Final

from aprhub.course import Course
from aprhub.errors import IdentityError, ModelCheckError, UsageError
from aprhub.identity import borne_out
from aprhub.ir.model import Provenance
from aprhub.ir.tokenizer import Tokenizer
from aprhub.lift import namings_of
from aprhub.place import Place
from aprhub.pretraining.options import TEXT, TrainingOptions
from aprhub.registry import Registry
from aprhub.spec.format import StoredModel
from aprhub.tokenizer.parity import loaded_program

ENCODER: Final = "FALSIFY-APR-PRETRAIN-ARCH-007"
MATCH: Final = "INV-INIT-ARCH-MATCH-001"
VOCABULARY: Final = "GATE-ARCH-370M-011"
RELAXED: Final = "INV-ARCH-370M-006-RELAXED"
LOSS: Final = "INV-INIT-LOSS-MATCH-001"
CORPUS: Final = "GATE-CORPUS-PREFLIGHT"
"""The rules, by the ids under which they are explained."""

_ENCODERS: Final = """
    albert bert bigbird camembert codebert deberta debertav2 distilbert electra ernie
    esm eurobert funnel jinabertv2 jinabertv3 longformer megatronbert mobilebert
    modernbert mpnet neobert nomicbert nomicbertmoe roberta squeezebert xlm xlmroberta
    xlmrobertaxl
"""
ENCODERS: Final = frozenset(_ENCODERS.split())
"""Architectures that see what is to come, in small letters and digits."""

_CLASS = re.compile(r"(?:For[A-Z]\w*|LMHeadModel|Model)$")

LIMIT: Final = 1.5
"""How many times the recorded loss a start may have. Weights that another
architecture computed with had 1.86 times theirs."""

_TRAINING: Final = ("pretrain", "finetune")

SCARCE: Final = 10
"""Tokens for each parameter below which a note is due: half of the about 20 that a
compute-optimal training has (Hoffmann et al., 2022)."""

_KEEPING: Final = ("convert", "stamp")
"""Operations after which a recorded loss still holds, but for what quantising lost."""


def refuse_encoder(stored: StoredModel) -> None:
    """Raise IdentityError for a model that no next token can be asked of."""
    identity = stored.config.identity
    for claim in (identity.hf_class, identity.hf_model_type, identity.architecture):
        kind = _CLASS.sub("", claim or "")
        if "".join(filter(str.isalnum, kind)).lower() in ENCODERS:
            raise IdentityError(
                stored.path,
                f"{ENCODER}: {claim} is an Encoder, which sees what is to come, and"
                " training predicts the next token; start from a decoder-only model,"
                " such as a LlamaForCausalLM",
            )


def refuse_mismatch(
    stored: StoredModel, registry: Registry, options: TrainingOptions
) -> None:
    """Raise IdentityError where a model claims one family and holds another.

    Nothing is said where it claims none, where nobody knows the claim, and where its
    tensors are those of no known family: other gates see to those.
    """
    claimed = _claimed(stored, registry, options.family)
    namings = namings_of(stored, registry, options.naming)
    families = [each.value for each in registry.families]
    held = [family.name for family in borne_out(stored, families, namings)]
    if not claimed or not held or set(claimed) & set(held):
        return
    path, family = stored.path, held[0]
    mended = quote(str(path.with_name(f"{path.stem}-{family}{path.suffix}")))
    claims = ", ".join(map(repr, stored.config.identity.claims)) or repr(claimed[0])
    raise IdentityError(
        path,
        f"{MATCH}: it claims to be {claims}, but its tensors are those of"
        f" {' or '.join(held)}: trained as what it claims, it would be another model."
        " If it was made from a Hugging Face model, convert that again; else say what"
        f" it is, and start from that:\n"
        f"  aprhub convert {quote(str(path))} {mended} --family {family}\n"
        f"  {options.command} {mended} …",
    )


def _claimed(stored: StoredModel, registry: Registry, said: str | None) -> list[str]:
    """Return the families that a model can be by its claims, or by the user's."""
    if said is not None:
        return [registry.family(said).name]
    families = [each.value for each in registry.families]
    identity = stored.config.identity
    return [f.name for f in families if identity.claims and f.is_claimed_by(identity)]


def refuse_vocabulary(tokenizer: Tokenizer, rows: int, *, exact: bool) -> None:
    """Raise ModelCheckError where a model has not the rows that a tokenizer needs.

    A model may have spare rows, unless it is to be `exact`.
    """
    ids = loaded_program(tokenizer).get_vocab().values()
    count = max(ids, default=-1) + 1
    if count > rows:
        rule = VOCABULARY if exact else RELAXED
        what = (
            f"{count} tokens, but the model has {rows} rows: ids {rows} and up are OOB"
        )
    elif exact and count < rows:
        rule, what = VOCABULARY, f"{count} tokens, but the model is made for {rows}"
    else:
        return
    if exact:
        raise ModelCheckError("tokenizer", f"{rule}: {what}; say --vocab-size {count}")
    raise ModelCheckError(
        "tokenizer",
        f"{rule}: {what}; give another --tokenizer, or --config a larger vocab_size",
    )


def recorded_loss(provenance: Provenance, learns: str) -> float | None:
    """Return the validation loss that a checkpoint says it had, if it still holds.

    It is that of what is learnt now: the loss on answers says nothing of other text.
    """
    for step in reversed(provenance.lineage):
        if step.operation in _TRAINING:
            loss = step.options.get("val_loss")
            same = step.options.get("task", TEXT) == learns
            return float(loss) if same and isinstance(loss, int | float) else None
        if step.operation not in _KEEPING:
            return None
    return None


def refuse_loss(recorded: float | None, found: float, *, accepted: bool) -> None:
    """Raise ModelCheckError for a start that is much worse than its checkpoint says."""
    if recorded is None or accepted or found <= LIMIT * recorded:
        return
    raise ModelCheckError(
        "step 0",
        f"{LOSS}: the validation loss is {found:.4f}, the checkpoint records"
        f" {recorded:.4f}: something was lost on the way, or this text is another;"
        " take another checkpoint, or say --accept-init-loss if you know why",
    )


def refuse_unshared(course: Course, place: Place) -> None:
    """Raise UsageError for a course that the processes of a run cannot share."""
    world, parts = place.world, place.world * course.accumulate
    if world == 1 and course.parallel is not None:
        raise UsageError(
            f"--parallel {course.parallel} is for several processes, and this is one:"
            " start it with torchrun --nproc-per-node N -m aprhub"
        )
    if course.batch_size % parts:
        more = f" in {course.accumulate} parts each" if course.accumulate > 1 else ""
        raise UsageError(
            f"{course.batch_size} sequences in a step cannot be shared by {world}"
            f" processes{more}: use a --batch-size that {parts} divides"
        )
    if world > 1 and ":" in course.device:
        raise UsageError(
            f"--device {course.device}: each of {world} processes has a GPU of its own;"
            " say --device cuda"
        )


def scarce_text(options: TrainingOptions, parameters: int) -> Iterator[str]:
    """Yield a note where a new model has more parameters than its text is good for."""
    course = options.course
    tokens = course.num_steps * course.batch_size * options.seq_len
    if options.init is None and 0 < tokens < SCARCE * parameters:
        yield (
            f"{tokens} tokens are {tokens / parameters:.2g} for each parameter: a"
            " smaller model, or about 20, would be the better use of the same work"
        )


def refuse_short_corpus(sequences: Sized, options: TrainingOptions) -> None:
    """Raise UsageError where the steps need more text than may be seen.

    Text that does not fill one batch is left to who makes batches.
    """
    course = options.course
    once = len(sequences) // course.batch_size
    there = once * options.epochs
    if course.num_steps <= there or not once:
        return
    planned = course.num_steps * course.batch_size * options.seq_len
    raise UsageError(
        f"{CORPUS}: {course.num_steps} steps are {planned} tokens, but the text has"
        f" {len(sequences) * options.seq_len} and may be seen {options.epochs} times:"
        f" say --epochs {-(-course.num_steps // once)}, or --num-steps {there}"
    )
