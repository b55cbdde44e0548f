"""Merges an adapter into a base: W + s B A, and nothing else is touched."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from attrs import evolve, frozen

from aprhub.adapters.parts import bias_of
from aprhub.adapters.rows import with_rows
from aprhub.adapters.ties import untied
from aprhub.conversion import Opened
from aprhub.encoders import Encoders
from aprhub.errors import ModelCheckError, UnrepresentableError
from aprhub.ir.adapter import Adapter, Rows
from aprhub.ir.casting import refuse_overflow
from aprhub.ir.computed import PIECE_BYTES, Mapped, Operation
from aprhub.ir.encoding import ENCODINGS, F32, Encoding
from aprhub.ir.lowrank import LowRank, shifted, updated
from aprhub.ir.model import EMBEDDING, ModelIR
from aprhub.ir.source import Bytes
from aprhub.ir.tensor import Tensor
from aprhub.registry import Registry
from aprhub.report import MERGED
from aprhub.spec.format import Format

_GLANCE_BYTES: Final = 1 << 16
"""How much of a changed tensor is compared at a time, until a difference is found."""

KEEP = "keep"
ENCODINGS_OF_MERGED = (KEEP, "f16", "bf16", "f32")
"""How changed tensors can be encoded: as they were, or plainly."""


@frozen
class Changes:
    """What came of a merge: the base with another model, and which tensors changed.

    `merged` maps canonical names of weights with a low-rank change to what it was,
    `replaced` are tensors that came whole. `without_effect` are pairs whose product is
    zero, `vanished` are tensors whose change is less than their encoding can tell; all
    of these are left as they were.
    """

    result: Opened
    merged: Mapping[str, str]
    replaced: tuple[str, ...] = ()
    without_effect: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def left(self) -> tuple[str, ...]:
        """What the adapter has something for, and is as it was."""
        return *self.without_effect, *self.vanished


@frozen
class Merging:
    """One merge: into which base, for which target, in which encoding.

    `encoding` is one of ENCODINGS_OF_MERGED.
    """

    base: Opened
    target: Path
    writer: Format
    registry: Registry
    encoding: str = KEEP

    def changes(self, adapter: Adapter) -> Changes:
        """Return the base with an adapter's changes made.

        Pairs are read, and weights until the first change in them, to tell whether
        anything changes. Raises ModelCheckError for values that are no numbers,
        UnrepresentableError where the encoding of a changed tensor cannot be made.
        """
        effective = {
            name: change
            for name, change in adapter.changes.items()
            if is_effective(self.base.stored.path, name, change)
        }
        wanted = evolve(adapter, changes=effective)
        made = asked(self.base.found.model, wanted)
        found, notes = untied(self.base, made, adapter)
        model, steps = found.found.model, dict(found.found.steps)
        changed = self._changed(made, wanted, model)
        steps |= {name: (*steps.get(name, ()), MERGED) for name in changed}
        model = evolve(model, tensors={**model.tensors, **changed})
        if adapter.tokenizer:
            notes += tuple(_growth(model))
            rows = model.tensors[EMBEDDING].shape[0]
            config = evolve(model.config, vocab_size=rows)
            model = evolve(model, config=config, tokenizer=adapter.tokenizer)
        return Changes(
            evolve(found, found=evolve(found.found, model=model, steps=steps)),
            {
                name: described(change)
                for name, change in effective.items()
                if name in changed or bias_of(name) in changed
            },
            tuple(name for name in adapter.replaced if name in changed),
            tuple(name for name in adapter.changes if name not in effective),
            tuple(name for name in made if name not in changed),
            notes,
        )

    def _changed(
        self, made: Mapping[str, Tensor], adapter: Adapter, model: ModelIR
    ) -> dict[str, Tensor]:
        """Return what was made, as it is stored, where that tells it from before."""
        found = {}
        for name, tensor in made.items():
            before = model.tensors[name]
            after, without = self._both(name, tensor, before, adapter)
            if _differs(after, without):
                found[name] = after
        return found

    def _both(
        self, name: str, tensor: Tensor, before: Tensor, adapter: Adapter
    ) -> tuple[Tensor, Tensor]:
        """Return a tensor as it is stored with what was made of it, and without."""
        rows, more = adapter.rows.get(name), {*adapter.changes, *adapter.replacements}
        if rows and name not in more and self._wanted(name, before) == before.encoding:
            # The other rows keep their bytes.
            values = self._encoded(name, rows.values.cast(F32), before)
            return with_rows(before, Rows(rows.ids, values)), before
        after = self._encoded(name, tensor, before)
        plain = before
        if after.encoding.is_quantized and name in adapter.changes:
            plain = _recomputed(before, adapter.changes[name])
        return after, self._encoded(name, plain, before)

    def _encoded(self, name: str, merged: Tensor, before: Tensor) -> Tensor:
        wanted = self._wanted(name, before)
        if wanted.is_plain:
            return _finite(name, merged).cast(wanted, refuse_overflow(name, wanted))
        return self._quantised(name, merged, wanted)

    def _wanted(self, name: str, before: Tensor) -> Encoding:
        if self.encoding != KEEP:
            return ENCODINGS[self.encoding]
        if before.encoding.is_quantized and not self._holds(name, before):
            return F32
        return before.encoding

    def _holds(self, name: str, tensor: Tensor) -> bool:
        """Return whether the target stores a quantised tensor as it is."""
        stored = self.base.found.sources.get(name, name)
        return self.writer.encoding_for(stored, tensor) == tensor.encoding

    def _quantised(self, name: str, merged: Tensor, wanted: Encoding) -> Tensor:
        stored = self.base.found.sources.get(name, name)
        codec = self.registry.codec(wanted.name)
        if codec and codec.needs_importance:
            raise UnrepresentableError(
                self.target,
                f"{stored}: {wanted.name} is only made with an importance matrix; give"
                " changed tensors --merged-encoding f16, bf16 or f32",
            )
        try:
            encoders = Encoders(self.registry, self.target)
            tensor = encoders.encoded(stored, merged, wanted)
        except UnrepresentableError as error:
            error.add_note("give changed tensors --merged-encoding f16, bf16 or f32")
            raise
        return evolve(tensor, decoder=codec.decode if codec else None)


def asked(model: ModelIR, adapter: Adapter) -> dict[str, Tensor]:
    """Return every tensor that an adapter changes, as it asks for it, by name."""
    before = {**model.tensors, **adapter.replacements}
    made = dict(adapter.replacements)
    for name, rows in adapter.rows.items():
        # A tied head is the embedding, as it was before its own rows.
        made[name] = with_rows(before[name if name in before else EMBEDDING], rows)
    before |= made
    for name, change in adapter.changes.items():
        weight = before[name if name in before else EMBEDDING]
        made[name] = updated(weight, change)
        if change.bias is not None:
            bias = bias_of(name)
            made[bias] = shifted(before[bias], change)
    return made


def _finite(name: str, merged: Tensor) -> Tensor:
    """Return a changed tensor that refuses what is no number when it is read."""
    if merged.encoding != F32:
        return merged

    def checked(data: Bytes, _header: Bytes) -> Bytes:
        if not np.isfinite(data.view("<f4")).all():
            what = (
                "changed values are infinite or NaN; lower --alpha, or see with 'aprhub"
                " tensors --stats' whether the base has such values"
            )
            raise ModelCheckError(name, what)
        return data

    mapped = Mapped.of(merged, Operation("check"), checked, F32)
    return Tensor(merged.shape, F32, mapped)


def _recomputed(weight: Tensor, change: LowRank) -> Tensor:
    """Return a weight by the road of a change that adds nothing to it.

    What is encoded again may differ from what it was decoded from, without any change.
    """
    return updated(weight, evolve(change, alpha=0.0, magnitude=None))


def _differs(one: Tensor, other: Tensor) -> bool:
    """Return whether bytes differ; nothing is read behind the first that do."""
    if one.shape != other.shape:
        return True
    for start, length in one.chunks(_GLANCE_BYTES):
        left, right = np.empty((2, length), np.uint8)
        one.read_into(start, left)
        other.read_into(start, right)
        if not np.array_equal(left, right):
            return True
    return False


def _growth(model: ModelIR) -> Iterator[str]:
    """Say whether the embedding of a model has got more rows than it had."""
    before, rows = model.config.vocab_size, model.tensors[EMBEDDING].shape[0]
    if before != rows:
        yield (
            f"the vocabulary grows from {before} to {rows} rows: the tokenizer is that"
            " beside the adapter"
        )


def described(change: LowRank) -> str:
    """Return a change in a few words."""
    words = [f"rank {change.rank}", f"scale {change.scale:g}"]
    if change.rank_stabilised:
        words.append("rank-stabilised")
    if change.magnitude is not None:
        words.append("DoRA")
    return ", ".join(words)


def is_effective(path: Path, name: str, change: LowRank) -> bool:
    """Return whether the product of a pair, or its bias, is other than zero.

    The product is computed until its first row that is not zero; all of both matrices
    is read. Raises ModelCheckError for values that are no numbers.
    """
    a = change.a.cast(F32).numpy()
    if not np.isfinite(a).all():
        raise _not_numbers(path, name, "A")
    found = False
    step = max(PIECE_BYTES // (4 * change.rank), 1)
    for start in range(0, change.shape[0], step):
        stop = min(start + step, change.shape[0])
        rows = change.b.sliced(start, stop).cast(F32).numpy()
        if not np.isfinite(rows).all():
            raise _not_numbers(path, name, "B")
        filled = rows[rows.any(axis=1)]
        found = found or any((row @ a).any() for row in filled)
    shifts = change.bias is not None and change.bias.cast(F32).numpy().any()
    return bool(found or shifts) and change.scale != 0


def _not_numbers(path: Path, name: str, matrix: str) -> ModelCheckError:
    what = (
        f"the adapter's {matrix} for {name} has infinite values or NaN; take a"
        " checkpoint from before its training failed"
    )
    return ModelCheckError(path, what)
