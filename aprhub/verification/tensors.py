"""Tensors: each one of the target against its source, at a level."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from attrs import field, frozen

from aprhub.difference import same_values
from aprhub.equality import same_bytes
from aprhub.errors import UnrepresentableError
from aprhub.ir.casting import Loss, widens
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.ir.packed import native_of
from aprhub.ir.tensor import Tensor
from aprhub.lift import Lifted
from aprhub.registry import Registry
from aprhub.spec.naming import Naming
from aprhub.verification.bounds import deviation
from aprhub.verification.causes import Causes, Outcome, cause_of_shape
from aprhub.verification.hypotheses import Encoders, holds
from aprhub.verification.verdict import FAITHFUL, Finding, TensorVerdict

MOST_CAUSES: Final = 32
"""How many wrong tensors the cause is looked for; the rest are likely to be alike."""


@frozen
class Terms:
    """What a conversion was asked for, and how closely it is judged.

    Values may have been rounded to the floats in `casts`. With `own_codecs`, what is
    quantised must be what the installed codecs make of the source, to the byte.
    """

    level: str
    casts: tuple[str, ...] = ()
    own_codecs: bool = False


@frozen
class TensorComparison:
    """Two lifted models, tensor by tensor.

    `namings` are those that the target's names may be of.
    """

    meant: Lifted
    found: Lifted
    namings: tuple[Naming, ...]
    registry: Registry
    terms: Terms
    causes: Causes = field(init=False)

    @causes.default
    def _causes(self) -> Causes:
        model = self.meant.model
        return Causes(model.tensors, model.config, Encoders(self.registry))

    def verdicts(self) -> Iterator[TensorVerdict]:
        """Yield a verdict on every tensor of either, in the order of the source."""
        source, found = self.meant.model.tensors, self.found.model.tensors
        sought = 0
        for name in dict.fromkeys((*source, *found)):
            one, other = source.get(name), found.get(name)
            if one is None or other is None:
                verdict = self._alone(name, one, other)
            else:
                outcome, detail = self._outcome(name, one, other, sought < MOST_CAUSES)
                encodings = one.encoding.name, other.encoding.name
                verdict = TensorVerdict(name, encodings, outcome, detail)
            sought += verdict.outcome not in FAITHFUL
            yield verdict

    def _alone(
        self, name: str, one: Tensor | None, other: Tensor | None
    ) -> TensorVerdict:
        """Judge a tensor that only one of both has."""
        outcome, detail = "missing" if other is None else "added", ""
        if name == HEAD:
            outcome, detail = self._tie(one, other)
        elif other is None and name.endswith(".bias"):
            outcome, detail = "bias", "the target has none"
        names = one.encoding.name if one else "", other.encoding.name if other else ""
        return TensorVerdict(name, names, outcome, detail)

    def _tie(self, one: Tensor | None, other: Tensor | None) -> Outcome:
        """Judge a head where the other model takes its embedding for one."""
        embedding = self.meant.model.tensors.get(EMBEDDING)
        if other is None or one is not None or embedding is None:
            return "tied", "the source has a head of its own"
        if self.terms.level != "bytes" and holds(embedding, other):
            return "copy", "of the embedding"
        return "tied", "the source is tied, the target has a head that is no copy"

    def _outcome(self, name: str, one: Tensor, other: Tensor, sought: bool) -> Outcome:
        if one.shape != other.shape:
            return cause_of_shape(one, other)
        if self.terms.level == "names":
            return "named", ""
        if same_bytes(one, other):
            return "equal", ""
        detail = f"{other.encoding.name} from {one.encoding.name}"
        if self.terms.level == "bytes":
            same = one.is_readable and other.is_readable and same_values(one, other)
            return ("bytes", detail) if same else self._cause(name, one, other, sought)
        one, other = self._comparable(name, one, other)
        if not (one.is_readable and other.is_readable):
            return "different", f"{detail}: no installed codec decodes it"
        kept = self._kept(name, one, other)
        return kept or self._cause(name, one, other, sought)

    def _cause(self, name: str, one: Tensor, other: Tensor, sought: bool) -> Outcome:
        if not sought:
            return "different", f"the cause was looked for in {MOST_CAUSES} others"
        if not (one.is_readable and other.is_readable):
            return "different", "no installed codec decodes it"
        return self.causes.of(name, one, other)

    def _kept(self, name: str, one: Tensor, other: Tensor) -> Outcome | None:
        """Return in which way the values were kept, or None if they were not."""
        if native_of(other.source) is not None:
            return self._packed(one, other)
        if other.encoding.is_quantized:
            return self._quantised(name, one, other)
        losses: list[Loss] = []
        if same_bytes(one.cast(other.encoding, losses.append), other):
            exact = not any(each.rounded for each in losses)
            return self._cast(one, other, exact=exact)
        return ("equal", "") if same_values(one, other) else None

    def _cast(self, one: Tensor, other: Tensor, *, exact: bool) -> Outcome | None:
        """Judge a cast, which is no fault if it was asked for or loses nothing."""
        if exact or widens(one.encoding, other.encoding):
            return "widened", ""
        native = native_of(one.source)
        asked = other.encoding.name in self.terms.casts or native == other.encoding
        return ("rounded", f"to {other.encoding.name}") if asked else None

    def _quantised(self, name: str, one: Tensor, other: Tensor) -> Outcome | None:
        if one.encoding == other.encoding:
            return ("equal", "") if same_values(one, other) else None
        again = self.encoded_alike(name, one, other)
        if again is not None and same_bytes(again, other):
            return "encoded", ""
        measured = deviation(one, other)
        if self.terms.own_codecs or not measured.is_within:
            return None
        twice = next(self.causes.by_way_of(one, other), None)
        return twice or ("bounded", str(measured))

    def _packed(self, one: Tensor, other: Tensor) -> Outcome | None:
        """Judge what is stored in parts, by the schemes that make such.

        What was fused is a slice of the values, which are all that is left to compare.
        """
        if same_values(one, other):
            return "equal", ""
        for again in self._packings(one.decoded()):
            alike = again.encoding == other.encoding and same_bytes(again, other)
            plain = other.encoding.is_plain and same_bytes(again.decoded(), other)
            if alike or plain:
                return "encoded", ""
        return None

    def _packings(self, one: Tensor) -> Iterator[Tensor]:
        for each in self.registry.packings:
            for scheme in each.value.schemes:
                # Not every scheme is for every shape.
                with suppress(UnrepresentableError):
                    yield each.value.packed(scheme, one)

    def encoded_alike(self, name: str, one: Tensor, other: Tensor) -> Tensor | None:
        """Return a tensor as the installed codec encodes it for the target."""
        given = self.meant.importance
        measured = given.entries.get(name) if given else None
        weights = measured.importance() if measured else None
        return self.causes.encoders.encoded(one, other.encoding, weights)

    def _comparable(
        self, name: str, one: Tensor, other: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both in the layout of the target where lifting it would round."""
        family = self.meant.family
        if family is None or self.found.family is None:
            return one, other
        stored = self.found.sources.get(name, name)
        spellings = (each.to_ours(stored, family) for each in self.namings)
        spelling = next((each for each in spellings if each), None)
        transform = spelling.part(name).transform if spelling else None
        if transform is None or transform.packed_safe:
            return one, other
        lower, config = transform.lower, self.meant.model.config
        return lower(one, config), lower(other, config)


def found_in(verdicts: tuple[TensorVerdict, ...]) -> Iterator[Finding]:
    """Yield a finding for every tensor that did not come out faithful."""
    for each in verdicts:
        if each.outcome not in FAITHFUL:
            detail = each.detail or " and ".join(filter(None, each.encodings))
            yield Finding(each.name, each.outcome, detail)
