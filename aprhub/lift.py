"""Lift: a stored model becomes the canonical one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from aprhub import rope
from aprhub.equality import same_bytes
from aprhub.errors import Fault, ModelCheckError
from aprhub.identity import Fit, resolved
from aprhub.ir.casting import refuse_rounding
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import ENCODINGS
from aprhub.ir.importance import Importance
from aprhub.ir.model import EMBEDDING, HEAD, ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.registry import Registry
from aprhub.spec.family import Family, role_of
from aprhub.spec.format import StoredModel
from aprhub.spec.naming import Naming
from aprhub.spec.spelling import Part, Spelling
from aprhub.unsaid import said_and_unsaid

KEEP = "keep"
"""The naming that leaves every name as it is."""


@frozen
class LiftOptions:
    """What a user may say about a source.

    `naming` is a naming's name, `keep`, or None to let the file decide; `family`
    overrides what the file claims; with `lossy`, tensors that the family does not
    have are dropped instead of refused.
    """

    naming: str | None = None
    family: str | None = None
    lossy: bool = False


@frozen
class Lifted:
    """A canonical model, and how it came from the stored one.

    `sources` maps canonical names to stored ones, `steps` canonical names to what was
    done, `gone` the stored names without a tensor in the model to the reason.
    `importance` is the matrix that the model is to be quantised with.
    """

    model: ModelIR
    family: Family | None
    sources: Mapping[str, str]
    steps: Mapping[str, tuple[str, ...]] = field(factory=dict)
    gone: Mapping[str, str] = field(factory=dict)
    notes: tuple[str, ...] = ()
    importance: Importance | None = None


def lifted(stored: StoredModel, registry: Registry, options: LiftOptions) -> Lifted:
    """Return the canonical model of a stored one.

    Reads no weights, but for rotary factors (a few numbers) and a head that may be a
    copy of the embedding. Raises IdentityError or ModelCheckError with all faults.
    """
    stored = evolve(stored, tensors=decodable(stored.tensors, registry))
    if options.naming == KEEP:
        return _kept(stored)
    namings = namings_of(stored, registry, options.naming)
    fit, notes = resolved(stored, registry, namings, options.family)
    _refuse_unknown(stored, fit, options)
    return _Lifting(stored, fit, namings).result(notes)


def _kept(stored: StoredModel) -> Lifted:
    model = ModelIR(
        evolve(stored.config, family=None),
        stored.tensors,
        stored.tokenizer,
        stored.provenance,
        stored.carried,
        stored.native,
        stored.sampling,
    )
    return Lifted(model, None, {name: name for name in stored.tensors})


def decodable(tensors: Mapping[str, Tensor], registry: Registry) -> dict[str, Tensor]:
    """Return the tensors, each with the decoder that its encoding needs, if any."""
    return {name: _with_decoder(tensor, registry) for name, tensor in tensors.items()}


def _with_decoder(tensor: Tensor, registry: Registry) -> Tensor:
    if tensor.is_readable:
        return tensor
    codec = registry.codec(tensor.encoding.name)
    return evolve(tensor, decoder=codec.decode) if codec else tensor


def namings_of(
    stored: StoredModel, registry: Registry, wanted: str | None = None
) -> list[Naming]:
    """Return the namings to try: the one wanted, else what the file or format says."""
    said = wanted or stored.naming
    return [registry.naming(name) for name in ((said,) if said else stored.namings)]


def _refuse_unknown(stored: StoredModel, fit: Fit, options: LiftOptions) -> None:
    if fit.unknown and not options.lossy:
        name = fit.family.name
        problem = f"no weight of {name} is called so"
        repair = "convert with --lossy to do without, or choose --family or --naming"
        raise ModelCheckError(
            stored.path,
            f"{len(fit.unknown)} of {len(stored.tensors)} tensors have no place in"
            f" family {name}",
            [Fault(each, problem, repair) for each in fit.unknown],
        )


@frozen
class _Lifting:
    """The steps from stored names to a canonical model, for one family."""

    stored: StoredModel
    fit: Fit
    namings: Sequence[Naming]

    def result(self, notes: tuple[str, ...]) -> Lifted:
        family = self.fit.family
        spellings = self._spellings()
        config = said_and_unsaid(self.stored, family, spellings)
        config, gone = self._with_rope_factors(config)
        gone.update(dict.fromkeys(self.fit.unknown, f"not in {family.name}"))
        found = dict(self._canonical(config))
        tensors = {name: found[name][0] for name in _ordered(found, family)}
        steps = {name: found[name][1] for name in tensors}
        sources = {name: spellings[name].stored for name in tensors}
        config, tensors, tie_notes = _without_tied_copy(config, tensors)
        if HEAD in sources and HEAD not in tensors:
            gone[sources.pop(HEAD)] = "a copy of the embedding: the head is tied"
        model = ModelIR(
            config,
            tensors,
            self.stored.tokenizer,
            self.stored.provenance,
            self.stored.carried,
            sampling=self.stored.sampling,
        )
        return Lifted(model, family, sources, steps, gone, (*notes, *tie_notes))

    def _spellings(self) -> dict[str, Spelling]:
        """Return the spelling of the tensor that each weight is in."""
        found: dict[str, Spelling] = {}
        faults = []
        for spelling in self.fit.spellings:
            for name in spelling.held(self.stored.tensors[spelling.stored].shape):
                other = found.setdefault(name, spelling)
                if other is not spelling:
                    problem = f"stored twice, also as {other.stored}"
                    repair = "write the file anew with one of the two"
                    faults.append(Fault(spelling.stored, problem, repair))
        if faults:
            what = f"{len(faults)} tensors are there twice, under two names"
            raise ModelCheckError(self.stored.path, what, faults)
        return found

    def _with_rope_factors(
        self, config: ModelConfig
    ) -> tuple[ModelConfig, dict[str, str]]:
        for naming in self.namings:
            names = {
                what: name
                for what, name in naming.rope_factors.items()
                if name in self.stored.tensors
            }
            if names:
                factors = {
                    what: self.stored.tensors[name].cast(ENCODINGS["f32"]).numpy()
                    for what, name in names.items()
                }
                scaling = rope.recovered(config, factors)
                became = f"became the rope scaling {scaling.kind!r}"
                gone = dict.fromkeys(names.values(), f"{became} of the configuration")
                return evolve(config, rope_scaling=scaling), gone
        return config, {}

    def _canonical(
        self, config: ModelConfig
    ) -> Iterator[tuple[str, tuple[Tensor, tuple[str, ...]]]]:
        """Yield the weights of all stored tensors, with what was done to each."""
        for spelling in self.fit.spellings:
            tensor = self.stored.tensors[spelling.stored]
            apart = tuple(f"{step} undone" for step in spelling.steps)
            for name, part, rows in spelling.split(tensor, config):
                weight, done = self._weight(name, part, rows, config)
                renamed = ("renamed",) if spelling.stored != name else ()
                yield name, (weight, (*renamed, *apart, *done))

    def _weight(
        self, name: str, part: Part, tensor: Tensor, config: ModelConfig
    ) -> tuple[Tensor, tuple[str, ...]]:
        steps: tuple[str, ...] = ()
        if part.transform:
            tensor = part.transform.lift(tensor, config)
            steps += (part.transform.name + " undone",)
        native = self.stored.native.get(name)
        if native and tensor.encoding == ENCODINGS["f32"] and native in ENCODINGS:
            check = refuse_rounding(name, ENCODINGS[native])
            tensor = tensor.cast(ENCODINGS[native], check)
            steps += (f"narrowed back to {native}",)
        return tensor, steps


def _ordered(names: Mapping[str, Any], family: Family) -> list[str]:
    """Return canonical names in the order of the family's table, layer by layer."""
    order = {weight.role: place for place, weight in enumerate(family.weights)}
    first = min(
        (place for role, place in order.items() if role.startswith("layers.")),
        default=0,
    )

    def key(name: str) -> tuple[int, ...]:
        place = order[role_of(name)]
        if name.startswith("layers."):
            layer, *expert = (int(part) for part in name.split(".") if part.isdigit())
            return first, layer, place, *expert
        return place, 0, 0

    return sorted(names, key=key)


def _without_tied_copy(
    config: ModelConfig, tensors: dict[str, Tensor]
) -> tuple[ModelConfig, dict[str, Tensor], tuple[str, ...]]:
    """Take out a head that is a copy of the embedding; settle whether it is tied."""
    head = tensors.get(HEAD)
    if head is None:
        tied = config.tie_embeddings is not False
        return evolve(config, tie_embeddings=tied), tensors, ()
    if not config.tie_embeddings:
        return evolve(config, tie_embeddings=False), tensors, ()
    if same_bytes(head, tensors[EMBEDDING]):
        rest = {name: each for name, each in tensors.items() if name != HEAD}
        return config, rest, ()
    note = (
        "the configuration says that the head is tied to the embedding, but the file"
        " holds another head; it is kept, and the model is untied"
    )
    return evolve(config, tie_embeddings=False), tensors, (note,)
