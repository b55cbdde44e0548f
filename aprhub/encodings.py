"""Encodings: in which one a target stores each tensor, and how it comes to be."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from attrs import Factory, define, evolve, field, frozen

from aprhub.encoders import Encoders
from aprhub.errors import UnrepresentableError, about
from aprhub.ir.casting import Loss, Observer, widens
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import ENCODINGS, F32, Encoding
from aprhub.ir.importance import Importance
from aprhub.ir.joining import concatenated
from aprhub.ir.packed import native_of
from aprhub.ir.tensor import Tensor
from aprhub.quantization import Quantization
from aprhub.registry import Registry
from aprhub.spec.format import Format
from aprhub.spec.spelling import Transform

Steps = tuple[str, ...]

_NO_STEPS: Steps = ()


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
    """What a user may ask of the target's encodings.

    `dtype` casts all floats, `quantization` gives each tensor an encoding of its own.
    With `allow_nan`, it does so to infinite values and no numbers, too.
    """

    dtype: str | None = None
    quantization: Quantization | None = None
    lossy: bool = False
    allow_nan: bool = False

    @property
    def is_asked(self) -> bool:
        """Whether encodings are other than the source's because the user says so."""
        return self.dtype is not None or self.quantization is not None


@frozen
class Encodings:
    """Chooses the encoding of each tensor for a target, and brings it there."""

    target: Path
    format: Format
    config: ModelConfig
    registry: Registry
    options: LowerOptions
    losses: Losses
    importance: Importance | None = None

    def laid_out(
        self, name: str, tensor: Tensor, transform: Transform | None
    ) -> tuple[Tensor, Steps]:
        """Return a weight in the layout of a stored name, and what was done to it."""
        if transform is None:
            return tensor, ()
        steps: Steps = ()
        blocked = not transform.packed_safe or tensor.encoding.flat
        if tensor.encoding.is_quantized and blocked:
            tensor, steps = self.widened(tensor, F32)
        observe = self.losses.observer(name)
        lowered = transform.lowered(tensor, self.config, observe)
        return lowered, (*steps, transform.name)

    def common(self, tensors: Sequence[Tensor]) -> Encoding:
        """Return the encoding in which tensors can be one: theirs, if it is the same.

        Otherwise it is the smallest float that holds the values of all.
        """
        found = {tensor.encoding for tensor in tensors}
        if len(found) == 1 and not tensors[0].encoding.flat:
            return tensors[0].encoding
        plain = [each if each.is_plain else F32 for each in found]
        wide = (ENCODINGS[name] for name in ("f16", "bf16", "f32", "f64"))
        fitting = (each for each in wide if all(widens(one, each) for one in plain))
        return next(fitting, plain[0])

    def widened(self, tensor: Tensor, encoding: Encoding) -> tuple[Tensor, Steps]:
        """Return the values in an encoding that holds them all, and what was done."""
        if tensor.encoding == encoding:
            return tensor, ()
        if tensor.encoding.is_quantized:
            decoded = f"decoded from {tensor.encoding.name}"
            return tensor.decoded().cast(encoding), (decoded,)
        return tensor.cast(encoding), (f"cast to {encoding.name}",)

    def encoded(
        self, weights: Sequence[str], name: str, tensor: Tensor
    ) -> tuple[Tensor, Steps]:
        """Return a tensor as it is stored, and what was done to it.

        Raises UnrepresentableError where no codec makes or reads the encoding.
        """
        steps: Steps = ()
        asked = self.options.quantization
        method = asked.packing(weights, name, tensor) if asked else None
        if asked and method:
            return self._packed(method, asked.mixture, name, tensor)
        wanted = self.wanted(weights, name, tensor)
        if wanted == tensor.encoding:
            return tensor, steps
        if tensor.encoding.is_quantized:
            tensor, steps = self.widened(tensor, F32)
        if wanted.is_quantized:
            steps += (f"quantised to {wanted.name}",)
            return self._quantised(weights, name, tensor, wanted), steps
        if wanted != tensor.encoding:
            steps += (f"cast to {wanted.name}",)
        return tensor.cast(wanted, self.losses.observer(name)), steps

    def _packed(
        self, method: str, scheme: str, name: str, tensor: Tensor
    ) -> tuple[Tensor, Steps]:
        """Return a tensor as the parts that a scheme makes of it, and what was done."""
        if method not in self.format.packings:
            raise self._unheld(name, f"{scheme} of {method}", tensor)
        plain, steps = tensor, _NO_STEPS
        if tensor.encoding.is_quantized:
            plain, steps = self.widened(tensor, native_of(tensor.source) or F32)
        encoders = Encoders(self.registry, self.target)
        with about(name):
            checked = encoders.numbers(name, plain, scheme)
            packed = self.registry.packing(method).packed(scheme, checked)
        if packed.encoding == tensor.encoding:
            return tensor, ()
        if tensor.encoding.is_quantized:
            self._require_requantizing(name, tensor, scheme)
        return packed, (*steps, f"quantised to {scheme}")

    def _quantised(
        self, weights: Sequence[str], name: str, tensor: Tensor, encoding: Encoding
    ) -> Tensor:
        """Return a tensor in blocks; each expert of a stack by its own importance."""
        encoders = Encoders(self.registry, self.target, self.options.allow_nan)
        importances = [self._importance(each, name, encoding) for each in weights]
        if len(tensor.shape) < 3 or not any(importances):
            return encoders.encoded(name, tensor, encoding, importances[0])
        step = len(weights) // tensor.shape[0]
        return concatenated(
            [
                encoders.encoded(
                    f"{name} (matrix {at})",
                    tensor.sliced(at, at + 1),
                    encoding,
                    importance,
                )
                for at, importance in enumerate(importances[::step])
            ]
        )

    def _importance(
        self, canonical: str, name: str, encoding: Encoding
    ) -> Tensor | None:
        """Return the importance of a tensor's columns, or None if nobody says it.

        Raises UnrepresentableError where blocks without it would be worthless.
        """
        given = self.importance
        if given and canonical in given.entries and not encoding.flat:
            return given.entries[canonical].importance()
        codec, asked = self.registry.codec(encoding.name), self.options.quantization
        needed = bool(codec and codec.needs_importance)
        if needed or (asked and asked.needs_importance(canonical, encoding)):
            lacking = f", and {given.path} has no entry for it" if given else ""
            raise UnrepresentableError(
                self.target,
                f"{name}: {encoding.name} is only made with an importance matrix"
                f"{lacking}; give one with --imatrix ('aprhub imatrix' makes them)",
            )
        return None

    def _asked(
        self, weights: Sequence[str], name: str, tensor: Tensor
    ) -> Encoding | None:
        """Return the encoding that the user asks for, if any."""
        if self.options.quantization is None:
            return ENCODINGS[self.options.dtype] if self.options.dtype else None
        config = self.config
        asked = self.options.quantization.encoding(weights, name, tensor, config)
        if asked and tensor.encoding.is_quantized and asked != tensor.encoding:
            self._require_requantizing(name, tensor, asked.name)
        return asked

    def _require_requantizing(self, name: str, tensor: Tensor, asked: str) -> None:
        if self.options.quantization and not self.options.quantization.again:
            raise UnrepresentableError(
                self.target,
                f"{name}: is {tensor.encoding.name} and would have to be decoded to"
                f" become {asked}; quantise the model that it was made from, or leave"
                " out --no-requantize",
            )

    def _unheld(self, name: str, asked: str, tensor: Tensor) -> UnrepresentableError:
        makable = (
            ENCODINGS[each.value.name]
            for each in self.registry.codecs
            if each.value.encodes and each.value.name in ENCODINGS
        )
        held = [each.name for each in makable if self._holds(name, tensor, each)]
        for method in self.format.packings:
            held += self.registry.packing(method).schemes
        named = ", ".join(held) or "plain floats"
        return UnrepresentableError(
            self.target,
            f"{name}: {self.format.name} does not hold {asked} in shape"
            f" {list(tensor.shape)}, only {named}; choose one with --type (--quantize"
            " of 'aprhub convert'), or --tensor-type",
        )

    def _holds(self, name: str, tensor: Tensor, encoding: Encoding) -> bool:
        """Return whether the format stores a tensor of this shape so."""
        probe = Tensor(tensor.shape, encoding, tensor.source)
        fits = encoding.fits(tensor.shape[-1] if tensor.shape else 1)
        return fits and self.format.encoding_for(name, probe) == encoding

    def wanted(self, weights: Sequence[str], name: str, tensor: Tensor) -> Encoding:
        """Return the encoding of a tensor of these weights: the format's, in general.

        Raises UnrepresentableError where that would lose something unasked.
        """
        asked = self._asked(weights, name, tensor)
        changeable = tensor.encoding.is_float or tensor.encoding.is_quantized
        if asked and changeable:
            if asked.is_quantized and not self._holds(name, tensor, asked):
                raise self._unheld(name, asked.name, tensor)
            probe = Tensor(tensor.shape, asked, tensor.source)
            return self.format.encoding_for(name, probe)
        native = native_of(tensor.source)
        own = evolve(tensor, encoding=native) if native else tensor
        wanted = self.format.encoding_for(name, own)
        decoded = tensor.encoding.is_quantized or native is not None
        exact = decoded or widens(tensor.encoding, wanted)
        if wanted != tensor.encoding and not exact and not self.options.lossy:
            raise UnrepresentableError(
                self.target,
                f"{name}: {self.format.name} stores it as {wanted.name}, which cannot"
                f" hold every {tensor.encoding.name} value; allow it with --lossy",
            )
        return wanted
