"""Lower: the canonical model becomes a stored one, as a target format wants it."""

from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from attrs import Factory, define, evolve, field, frozen

from aprhub import rope
from aprhub.errors import UnrepresentableError
from aprhub.ir.casting import Loss, Observer, widens
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import ENCODINGS, Encoding
from aprhub.ir.model import ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.ir.tokenizer import Tokenizer
from aprhub.lift import EMBEDDING, HEAD, Lifted
from aprhub.registry import Registry
from aprhub.report import TensorFate
from aprhub.spec.family import Family
from aprhub.spec.format import Format, StoredModel
from aprhub.spec.naming import Naming, Transform

Steps = tuple[str, ...]


@define
class Losses:
    """Adds up what casts lose, while several threads run them."""

    _by_tensor: dict[str, Loss] = field(factory=dict)
    _lock: Lock = Factory(Lock)

    def observer(self, name: str) -> Observer:
        """Return what a cast of this tensor reports to."""

        def observe(loss: Loss) -> None:
            if loss != Loss():
                with self._lock:
                    before = self._by_tensor.get(name, Loss())
                    self._by_tensor[name] = before + loss

        return observe

    def found(self) -> dict[str, Loss]:
        """Return the losses by stored name."""
        return dict(sorted(self._by_tensor.items()))


@frozen
class LowerOptions:
    """What a user may ask of the target's encodings: `dtype` casts all floats."""

    dtype: str | None = None
    lossy: bool = False


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
    for it that keeps its values, unless `lossy`.
    """
    naming = registry.naming(fmt.naming) if lifted.family and fmt.naming else None
    work = _Lowering(lifted, target, fmt, naming, options, Losses())
    return work.result()


@frozen
class _Lowering:
    lifted: Lifted
    target: Path
    format: Format
    naming: Naming | None
    options: LowerOptions
    losses: Losses

    def result(self) -> Lowered:
        model, family = self.lifted.model, self.lifted.family
        tensors: dict[str, Tensor] = {}
        fates: list[TensorFate] = []
        native: dict[str, str] = dict(model.native) if family is None else {}
        for canonical, tensor in self._outgoing():
            name, transform = self._spelled(canonical, family)
            self._require_decoder(canonical, name, tensor)
            stored, steps = self._encoded(name, tensor, transform)
            tensors[name] = stored
            fates.append(self._fate(canonical, name, stored, steps))
            forced = stored.encoding != tensor.encoding and not self.options.dtype
            if forced and tensor.encoding.is_float:
                native[canonical] = tensor.encoding.name
        stored_model = StoredModel(
            self.format.name,
            self.target,
            tensors,
            _identified(model.config, family),
            self._tokenizer(model),
            model.provenance,
            model.carried,
            native,
            naming=self.naming.name if self.naming else None,
            family=family,
        )
        fates += self._gone()
        return Lowered(stored_model, tuple(fates), self.losses)

    def _outgoing(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the model's tensors, and those that this format stores besides."""
        model, family = self.lifted.model, self.lifted.family
        yield from model.tensors.items()
        if family is None:
            return
        tied = HEAD not in model.tensors and model.config.tie_embeddings
        if tied and self.format.stores_tied_head:
            yield HEAD, model.tensors[EMBEDDING]
        factors = rope.factors(model.config)
        if factors is not None and self.naming and self.naming.rope_factors:
            yield self.naming.rope_factors, Tensor.of(factors)

    def _spelled(
        self, canonical: str, family: Family | None
    ) -> tuple[str, Transform | None]:
        if family is None or self.naming is None:
            return canonical, None
        if canonical == self.naming.rope_factors:
            return canonical, None
        spelling = self.naming.to_theirs(canonical, family)
        if spelling is None:
            raise UnrepresentableError(
                self.target, f"naming {self.naming.name} has no name for {canonical}"
            )
        return spelling.stored, spelling.transform

    def _require_decoder(self, canonical: str, name: str, tensor: Tensor) -> None:
        """Refuse what can be neither stored as it is nor decoded."""
        if tensor.encoding.is_plain or tensor.decoder is not None:
            return
        if self._wanted(name, tensor) != tensor.encoding:
            source = self.lifted.sources.get(canonical, canonical)
            raise UnrepresentableError(
                self.target,
                f"{source}: {self.format.name} cannot hold {tensor.encoding.name}, and"
                " no installed codec decodes it; see 'aprhub codecs'",
            )

    def _encoded(
        self, name: str, tensor: Tensor, transform: Transform | None
    ) -> tuple[Tensor, Steps]:
        steps: Steps = ()
        if transform:
            blocked = not transform.packed_safe or tensor.encoding.flat
            if tensor.encoding.is_quantized and blocked:
                steps += (f"decoded from {tensor.encoding.name}",)
                tensor = tensor.decoded()
            config, observe = self.lifted.model.config, self.losses.observer(name)
            tensor = transform.lowered(tensor, config, observe)
            steps += (transform.name,)
        wanted = self._wanted(name, tensor)
        if wanted == tensor.encoding:
            return tensor, steps
        if tensor.encoding.is_quantized:
            steps += (f"decoded from {tensor.encoding.name}",)
            tensor = tensor.decoded()
        if wanted != tensor.encoding:
            steps += (f"cast to {wanted.name}",)
        return tensor.cast(wanted, self.losses.observer(name)), steps

    def _wanted(self, name: str, tensor: Tensor) -> Encoding:
        """Return the encoding to store: the format's, unless that loses unasked."""
        asked = ENCODINGS[self.options.dtype] if self.options.dtype else None
        changeable = tensor.encoding.is_float or tensor.encoding.is_quantized
        if asked and changeable:
            probe = Tensor(tensor.shape, asked, tensor.source)
            return self.format.encoding_for(name, probe)
        wanted = self.format.encoding_for(name, tensor)
        exact = tensor.encoding.is_quantized or widens(tensor.encoding, wanted)
        if wanted != tensor.encoding and not exact and not self.options.lossy:
            raise UnrepresentableError(
                self.target,
                f"{name}: {self.format.name} stores it as {wanted.name}, which cannot"
                f" hold every {tensor.encoding.name} value; allow it with --lossy",
            )
        return wanted

    def _tokenizer(self, model: ModelIR) -> Tokenizer | None:
        tokenizer = model.tokenizer
        if tokenizer is None or self.format.tokenizer_form is None:
            return tokenizer
        if self.format.tokenizer_form == "json":
            from aprhub.tokenizer import assembled

            return assembled(tokenizer)
        from aprhub.tokenizer import flattened

        rows = model.config.vocab_size if self.lifted.family else None
        return flattened(tokenizer, rows)

    def _fate(
        self, canonical: str, name: str, tensor: Tensor, steps: Steps
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
            tensor.shape,
            tensor.encoding.name,
            origin.encoding.name if origin else "",
            tensor.nbytes,
            (
                *(("renamed",) if source and source != name else ()),
                *_net(kept, steps),
                *(() if source else ("made",)),
            ),
        )

    def _gone(self) -> list[TensorFate]:
        return [
            TensorFate(source, "", "", (), "", "", 0, (why,))
            for source, why in self.lifted.gone.items()
        ]


def _identified(config: ModelConfig, family: Family | None) -> ModelConfig:
    """Return the configuration with an identity that tells the family from others.

    Several families may share a ggml architecture; a source that said no more than
    that is not made to say more.
    """
    identity = config.identity
    said = family and identity.architecture == family.ggml_architecture
    if family is None or said or identity.hf_class:
        return config
    hf_class = next(iter(family.hf_classes), None)
    model_type = identity.hf_model_type or next(iter(family.hf_model_types), None)
    told = evolve(identity, hf_class=hf_class, hf_model_type=model_type)
    return evolve(config, identity=told)


def _net(lifted: Steps, lowered: Steps) -> Steps:
    """Return the steps that are left when a transform was undone and done again."""
    undone = {step.removesuffix(" undone") for step in lifted if "undone" in step}
    both = undone & set(lowered)
    before = (step for step in lifted if step.removesuffix(" undone") not in both)
    return (*before, *(step for step in lowered if step not in both))
