"""Verify: whether a written file is the model that it was made from."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import evolve, frozen

from aprhub.difference import EQUAL, TensorDifference, compared
from aprhub.encoders import Encoders
from aprhub.equality import same_bytes
from aprhub.errors import Fault, UnrepresentableError, UnrunnableError
from aprhub.ir.packed import native_of
from aprhub.ir.tensor import Tensor
from aprhub.lift import KEEP, Lifted, LiftOptions, lifted
from aprhub.registry import Registry
from aprhub.spec.format import Format
from aprhub.tokenizer import PROBES, same_ids
from aprhub.unpacking import unpacked


def verified(
    path: Path, fmt: Format, meant: Lifted, registry: Registry, level: str
) -> None:
    """Lift a written file and compare it with what it was made from.

    `names` compares names and shapes; `values` also every value, after the same cast
    or quantisation where one was made; `bytes` demands the source's encoded bytes.
    Raises UnrunnableError with a fault for each tensor that differs.
    """
    family = meant.family.name if meant.family else None
    options = LiftOptions(None if family else KEEP, family)
    stored = unpacked(fmt.opened(path), registry, options.naming)
    found = lifted(stored, registry, options)
    faults = [*_Comparison(meant, found, path, fmt, registry, level).faults()]
    if faults:
        raise UnrunnableError(path, f"verification ({level}) failed", faults)


@frozen
class _Comparison:
    """Two lifted models, the second from a file of a format, compared at a level."""

    meant: Lifted
    found: Lifted
    target: Path
    format: Format
    registry: Registry
    level: str

    def faults(self) -> Iterator[Fault]:
        source, found = self.meant.model.tensors, self.found.model.tensors
        for name in sorted(found.keys() ^ source.keys()):
            yield Fault(name, "in only one of both")
        for name in sorted(found.keys() & source.keys()):
            yield from self._tensor(name, source[name], found[name])
        if self.level != "names":
            yield from self._tokenizer()

    def _tokenizer(self) -> Iterator[Fault]:
        """Compare the ids of texts that are hard to tokenize."""
        source, found = self.meant.model.tokenizer, self.found.model.tokenizer
        if source is None or found is None:
            if source is not None:
                yield Fault("tokenizer", "the written file has none")
            return
        for difference in same_ids(source, found, PROBES):
            yield Fault("tokenizer", difference)

    def _tensor(self, name: str, source: Tensor, found: Tensor) -> Iterator[Fault]:
        if source.shape != found.shape:
            yield Fault(name, f"has shape {found.shape}, its source {source.shape}")
            return
        if self.level == "names":
            return
        if self.level == "values":
            source = self._encoded_alike(name, source, found)
        result = compared(name, *self._comparable(name, source, found))
        exact = ("equal",) if self.level == "bytes" else EQUAL
        if result.outcome not in exact:
            yield _described(result)

    def _encoded_alike(self, name: str, source: Tensor, found: Tensor) -> Tensor:
        """Return the source in the encoding of the written tensor."""
        if native_of(found.source) is not None:
            return self._packed_alike(source, found)
        if found.encoding.is_plain:
            return source.cast(found.encoding)
        codec = self.registry.codec(found.encoding.name)
        if source.encoding == found.encoding or codec is None or not codec.encodes:
            return source
        given = self.meant.importance
        measured = given.entries.get(name) if given else None
        weights = measured.importance() if measured else None
        encoders = Encoders(self.registry, self.target, allow_nan=True)
        again = encoders.encoded(name, source.decoded(), found.encoding, weights)
        return evolve(again, decoder=codec.decode)

    def _packed_alike(self, source: Tensor, found: Tensor) -> Tensor:
        """Return the source in parts, by the scheme that makes such as were found.

        What was fused is a slice of the values, which are all that is left to compare.
        """
        for again in self._packings(source.decoded()):
            if again.encoding == found.encoding:
                return again
            if found.encoding.is_plain and same_bytes(again.decoded(), found):
                return again.decoded()
        return source.decoded()

    def _packings(self, source: Tensor) -> Iterator[Tensor]:
        for each in self.registry.packings:
            for scheme in each.value.schemes:
                # Not every scheme is for every shape.
                with suppress(UnrepresentableError):
                    yield each.value.packed(scheme, source)

    def _comparable(
        self, name: str, source: Tensor, found: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both in the layout of the file where lifting them would round."""
        if self.meant.family is None or self.format.naming is None:
            return source, found
        naming = self.registry.naming(self.format.naming)
        spelling = naming.to_theirs(name, self.meant.family)
        transform = spelling.part(name).transform if spelling else None
        if transform is None or transform.packed_safe:
            return source, found
        lower, config = transform.lower, self.meant.model.config
        return lower(source, config), lower(found, config)


def _described(result: TensorDifference) -> Fault:
    error = "" if result.max_error is None else f", off by up to {result.max_error:g}"
    return Fault(result.name, f"{result.outcome} ({result.detail}{error})")
