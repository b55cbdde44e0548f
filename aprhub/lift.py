"""Lift: a stored model becomes the canonical one."""

import re
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
from aprhub.spec.family import Family, evaluated
from aprhub.spec.format import HF_WORLD, StoredModel
from aprhub.spec.naming import Naming, Spelling

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
        raise ModelCheckError(
            stored.path,
            f"{len(fit.unknown)} of {len(stored.tensors)} tensors have no place in"
            f" family {name}; drop them with --lossy, or choose --family or --naming",
            [Fault(each, f"no weight of {name} is called so") for each in fit.unknown],
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
        config = self._config(spellings)
        config, gone = self._with_rope_factors(config)
        gone.update(dict.fromkeys(self.fit.unknown, f"not in {family.name}"))
        tensors, steps = {}, {}
        for name in _ordered(spellings, family):
            tensor, done = self._canonical(spellings[name], config)
            tensors[name], steps[name] = tensor, done
        sources = {name: spelling.stored for name, spelling in spellings.items()}
        config, tensors, tie_notes = _without_tied_copy(config, tensors)
        if HEAD in sources and HEAD not in tensors:
            gone[sources.pop(HEAD)] = "a copy of the embedding: the head is tied"
        model = ModelIR(
            config,
            tensors,
            self.stored.tokenizer,
            self.stored.provenance,
            self.stored.carried,
        )
        return Lifted(model, family, sources, steps, gone, (*notes, *tie_notes))

    def _spellings(self) -> dict[str, Spelling]:
        found: dict[str, Spelling] = {}
        faults = []
        for spelling in self.fit.spellings:
            other = found.setdefault(spelling.canonical, spelling)
            if other is not spelling:
                problem = f"stored twice, also as {other.stored}"
                faults.append(Fault(spelling.stored, problem))
        if faults:
            raise ModelCheckError(self.stored.path, "ambiguous tensors", faults)
        return found

    def _config(self, spellings: Mapping[str, Spelling]) -> ModelConfig:
        family = self.fit.family
        config = evolve(self.stored.config, family=family.name)
        config = config.filled(_evidence(self.stored, spellings))
        if self.stored.naming is None and self.stored.namings == (HF_WORLD,):
            config = _defaulted(config, family.hf_defaults)
        config = _defaulted(config, family.defaults)
        if config.num_heads is not None:
            config = config.filled({"num_kv_heads": config.num_heads})
        flags = {weight.when for weight in family.weights if weight.when}
        present = {_role(name) for name in spellings}
        config = config.filled(
            {
                flag: any(w.when == flag and w.role in present for w in family.weights)
                for flag in flags
            }
        )
        return _with_layer_kinds(config, family)

    def _with_rope_factors(
        self, config: ModelConfig
    ) -> tuple[ModelConfig, dict[str, str]]:
        for naming in self.namings:
            name = naming.rope_factors
            tensor = self.stored.tensors.get(name) if name else None
            if name and tensor:
                scaling = rope.recovered(config, tensor.cast(ENCODINGS["f32"]).numpy())
                what = f"became the rope scaling {scaling.kind!r} of the configuration"
                return evolve(config, rope_scaling=scaling), {name: what}
        return config, {}

    def _canonical(
        self, spelling: Spelling, config: ModelConfig
    ) -> tuple[Tensor, tuple[str, ...]]:
        tensor = self.stored.tensors[spelling.stored]
        steps: tuple[str, ...] = ()
        if spelling.stored != spelling.canonical:
            steps = ("renamed",)
        if spelling.transform:
            tensor = spelling.transform.lift(tensor, config)
            steps += (spelling.transform.name + " undone",)
        native = self.stored.native.get(spelling.canonical)
        if native and tensor.encoding == ENCODINGS["f32"] and native in ENCODINGS:
            check = refuse_rounding(spelling.canonical, ENCODINGS[native])
            tensor = tensor.cast(ENCODINGS[native], check)
            steps += (f"narrowed back to {native}",)
        return tensor, steps


def _role(name: str) -> str:
    return re.sub(r"^layers\.\d+\.", "layers.{i}.", name)


def _ordered(names: Mapping[str, Any], family: Family) -> Iterator[str]:
    """Yield canonical names in the order of the family's table, layer by layer."""
    order = {weight.role: place for place, weight in enumerate(family.weights)}
    first = min(
        (place for role, place in order.items() if role.startswith("layers.")),
        default=0,
    )

    def key(name: str) -> tuple[int, int, int]:
        place = order[_role(name)]
        if name.startswith("layers."):
            return first, int(name.split(".")[1]), place
        return place, 0, 0

    return iter(sorted(names, key=key))


def _evidence(stored: StoredModel, spellings: Mapping[str, Spelling]) -> dict[str, int]:
    """Return sizes that the tensors determine, where the file does not say them."""
    config, found = stored.config, {}
    if EMBEDDING in spellings:
        shape = stored.tensors[spellings[EMBEDDING].stored].shape
        found["vocab_size"] = shape[0]
    query = spellings.get("layers.0.attn.q.weight")
    if query and config.num_heads:
        rows = stored.tensors[query.stored].shape[0]
        found["head_dim"] = rows // config.num_heads
    return found


def _defaulted(config: ModelConfig, defaults: Mapping[str, Any]) -> ModelConfig:
    """Return the configuration with defaults filled in; formulas last."""
    texts = ("activation",)
    plain = {k: v for k, v in defaults.items() if k in texts or not _is_formula(v)}
    config = config.filled(plain)
    formulas = {k: v for k, v in defaults.items() if k not in plain}
    return config.filled(
        {
            name: evaluated(formula, config)
            for name, formula in formulas.items()
            if getattr(config, name) is None
        }
    )


def _is_formula(value: object) -> bool:
    return isinstance(value, str)


def _with_layer_kinds(config: ModelConfig, family: Family) -> ModelConfig:
    pattern = family.layer_pattern
    if not pattern or config.layer_kinds or not config.num_layers:
        return config
    kinds = (
        "sliding" if (layer + 1) % pattern else "full"
        for layer in range(min(config.num_layers, 1 << 16))
    )
    return evolve(config, layer_kinds=tuple(kinds))


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
