"""Lower: the canonical model becomes a stored one, as a target format wants it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

from attrs import evolve, frozen

from aprhub.assembly import Group, Piece, assembled, groups
from aprhub.encodings import Encodings, Losses, LowerOptions, Steps
from aprhub.errors import UnrepresentableError, UsageError
from aprhub.ir.computed import Packed
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import ENCODINGS, Encoding
from aprhub.ir.model import ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.ir.tokenizer import Tokenizer
from aprhub.lift import Lifted
from aprhub.registry import Registry
from aprhub.remarks import remarks
from aprhub.report import TensorFate
from aprhub.spec.format import Format, PackingClaim, StoredModel
from aprhub.spec.naming import Naming


@frozen
class Lowered:
    """A stored model ready to be laid out, and what became of each tensor."""

    stored: StoredModel
    fates: tuple[TensorFate, ...]
    losses: Losses
    notes: tuple[str, ...] = ()


def lowered(
    lifted: Lifted,
    target: Path,
    fmt: Format,
    registry: Registry,
    options: LowerOptions,
) -> Lowered:
    """Return a lifted model as a format stores it; nothing is read or written.

    Raises UnrepresentableError, naming the tensor, where the format has no encoding
    for it that keeps its values, unless `lossy`; UsageError for a mixture without a
    family.
    """
    asked = options.quantization
    if asked and not lifted.family and (asked.method or not asked.pure):
        raise UsageError(
            "which tensors a mixture gives more bits only the family says; with names"
            " kept, quantise with --pure, and --tensor-type where needed"
        )
    naming = registry.naming(fmt.naming) if lifted.family and fmt.naming else None
    config = lifted.model.config
    weights = lifted.importance
    encodings = Encodings(target, fmt, config, registry, options, Losses(), weights)
    return _Lowering(lifted, target, fmt, naming, encodings).result()


@frozen
class _Lowering:
    lifted: Lifted
    target: Path
    format: Format
    naming: Naming | None
    encodings: Encodings

    def result(self) -> Lowered:
        tensors: dict[str, Tensor] = {}
        fates: list[TensorFate] = []
        wanted = self._groups()
        self._refuse_idle_patterns(wanted)
        for name, group in wanted.items():
            tensors[name], found = self._stored(name, group)
            fates += found
        stored_model = self._stored_model(tensors, fates)
        registry, losses = self.encodings.registry, self.encodings.losses
        notes = (
            *remarks(fates, self.lifted, stored_model.tokenizer, registry),
            *self.format.unheeded(stored_model),
        )
        fates += self._gone()
        return Lowered(stored_model, tuple(fates), losses, notes)

    def _stored_model(
        self, tensors: Mapping[str, Tensor], fates: Sequence[TensorFate]
    ) -> StoredModel:
        model = self.lifted.model
        return StoredModel(
            self.format.name,
            self.target,
            dict(each for tensor in tensors.items() for each in _parted(*tensor)),
            self._identified(model.config),
            self._tokenizer(model),
            model.provenance,
            model.carried,
            self._native(fates),
            naming=self.naming.name if self.naming else None,
            family=self.lifted.family,
            mixture=self._mixture(),
            packing=self._packing(tensors),
            importance=self.lifted.importance,
            sampling=model.sampling,
        )

    def _identified(self, config: ModelConfig) -> ModelConfig:
        """Return the configuration with an identity that tells the family from others.

        Several families may share a ggml architecture; a source that said no more than
        that is not made to say more, and ggml's own world needs no more.
        """
        identity, family = config.identity, self.lifted.family
        if family is None or identity.hf_class:
            return config
        word = family.ggml_architecture
        known = (each.value for each in self.encodings.registry.families)
        shared = sum(each.ggml_architecture == word for each in known) > 1
        ggml = self.naming is not None and self.naming.name == "ggml"
        if identity.architecture == word and (shared or ggml):
            return config
        hf_class = next(iter(family.hf_classes), None)
        model_type = identity.hf_model_type or next(iter(family.hf_model_types), None)
        told = evolve(identity, hf_class=hf_class, hf_model_type=model_type)
        return evolve(config, identity=told)

    def _mixture(self) -> str | None:
        asked = self.encodings.options.quantization
        return asked.mixture if asked else None

    def _packing(self, tensors: Mapping[str, Tensor]) -> PackingClaim | None:
        """Return what a model says of its weights that were spread over tensors."""
        asked = self.encodings.options.quantization
        if asked is None or asked.method is None:
            return None
        claim = self.encodings.registry.packing(asked.method).claim
        kept = [name for name, each in tensors.items() if _is_whole(name, each)]
        return claim(asked.mixture, kept) if claim else None

    def _groups(self) -> dict[str, Group]:
        tied_head = self.format.stores_tied_head
        return groups(self.lifted, self.naming, self.target, tied_head=tied_head)

    def _refuse_idle_patterns(self, wanted: Mapping[str, Group]) -> None:
        """Raise UsageError for a pattern of an encoding that fits no tensor."""
        asked = self.encodings.options.quantization
        if asked:
            known = [(name, *group.weights) for name, group in wanted.items()]
            asked.refuse_idle_patterns(known)

    def _stored(self, name: str, group: Group) -> tuple[Tensor, list[TensorFate]]:
        """Return a tensor to store, and the fate of each weight that is in it."""
        tensor, pieces = assembled(name, group, self.encodings)
        weights = tuple(group.weights)
        self._require_decoder(weights, name, tensor)
        stored, steps = self.encodings.encoded(weights, name, tensor)
        return stored, [
            self._fate(canonical, name, stored.encoding, piece, steps)
            for canonical, piece in pieces.items()
        ]

    def _native(self, fates: Sequence[TensorFate]) -> dict[str, str]:
        """Return the float encodings that the format, and nobody else, has changed."""
        native = dict(self.lifted.model.native) if self.lifted.family is None else {}
        if not self.encodings.options.is_asked:
            for fate in fates:
                before = ENCODINGS.get(fate.stored_encoding)
                if before and before.is_float and fate.encoding != before.name:
                    native[fate.canonical] = before.name
        return native

    def _require_decoder(
        self, weights: tuple[str, ...], name: str, tensor: Tensor
    ) -> None:
        """Refuse what can be neither stored as it is nor decoded."""
        if tensor.is_readable:
            return
        if self.encodings.wanted(weights, name, tensor) != tensor.encoding:
            source = self.lifted.sources.get(weights[0], weights[0])
            raise UnrepresentableError(
                self.target,
                f"{source}: {self.format.name} cannot hold {tensor.encoding.name}, and"
                " no installed codec decodes it; install a plugin that does ('aprhub"
                " codecs' lists what there is)",
            )

    def _tokenizer(self, model: ModelIR) -> Tokenizer | None:
        tokenizer = model.tokenizer
        if tokenizer is None or self.format.tokenizer_form is None:
            return tokenizer
        if self.format.tokenizer_form == "json":
            # Made while tensors are being written, unless it has to stand before them.
            return evolve(tokenizer, json=cache(partial(_program_of, tokenizer)))
        from aprhub.tokenizer import flattened

        if self.lifted.family is None:
            return flattened(tokenizer, None)
        # Merge rules are looked through while tensors are being written.
        return flattened(tokenizer, model.config.vocab_size, check_merges=False)

    def _fate(
        self, canonical: str, name: str, encoding: Encoding, piece: Piece, steps: Steps
    ) -> TensorFate:
        lifted = self.lifted
        before = lifted.steps.get(canonical, ())
        source = lifted.sources.get(canonical, "")
        origin = lifted.model.tensors.get(canonical)
        kept = tuple(each for each in before if each != "renamed")
        return TensorFate(
            source,
            canonical,
            name,
            piece.tensor.shape,
            encoding.name,
            origin.encoding.name if origin else "",
            encoding.nbytes(piece.tensor.shape),
            (
                *(("renamed",) if source and source != name else ()),
                *_net(kept, (*piece.steps, *steps)),
                *(() if source else ("made",)),
            ),
        )

    def _gone(self) -> list[TensorFate]:
        return [
            TensorFate(source, "", "", (), "", "", 0, (why,))
            for source, why in self.lifted.gone.items()
        ]


def _program_of(tokenizer: Tokenizer) -> bytes:
    from aprhub.tokenizer.assembling import program_of

    return program_of(tokenizer)


def _parted(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield what is stored of a tensor: itself, or the parts it was packed into."""
    if not isinstance(tensor.source, Packed):
        yield name, tensor
        return
    for part, each in tensor.source.parts.items():
        yield name.removesuffix("weight") + part, each


def _is_whole(name: str, tensor: Tensor) -> bool:
    """Return whether a tensor is a matrix that was not packed."""
    matrix = name.endswith(".weight") and len(tensor.shape) == 2
    return matrix and not isinstance(tensor.source, Packed)


def _net(lifted: Steps, lowered: Steps) -> Steps:
    """Return the steps that are left when a transform was undone and done again."""
    undone = {step.removesuffix(" undone") for step in lifted if "undone" in step}
    both = undone & set(lowered)
    before = (step for step in lifted if step.removesuffix(" undone") not in both)
    return (*before, *(step for step in lowered if step not in both))
