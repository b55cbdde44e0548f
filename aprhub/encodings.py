"""Encodings: in which one a target stores each tensor, and how it comes to be."""

from pathlib import Path
from threading import Lock

import numpy as np
from attrs import Factory, define, field, frozen
from numpy.typing import NDArray

from aprhub.errors import UnrepresentableError
from aprhub.ir.casting import Loss, Observer, widens
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import ENCODINGS, Encoding
from aprhub.ir.source import Bytes
from aprhub.ir.tensor import Encoder, Tensor
from aprhub.mixtures import Quantization
from aprhub.registry import Registry
from aprhub.spec.format import Format
from aprhub.spec.naming import Transform

Steps = tuple[str, ...]

_SAFE = 2048.0
"""Values up to this size give every block type a scale that it can store."""


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
    """

    dtype: str | None = None
    quantization: Quantization | None = None
    lossy: bool = False

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

    def encoded(
        self, canonical: str, name: str, tensor: Tensor, transform: Transform | None
    ) -> tuple[Tensor, Steps]:
        """Return a tensor as it is stored, and what was done to it.

        Raises UnrepresentableError where no codec makes or reads the encoding.
        """
        steps: Steps = ()
        if transform:
            blocked = not transform.packed_safe or tensor.encoding.flat
            if tensor.encoding.is_quantized and blocked:
                steps += (f"decoded from {tensor.encoding.name}",)
                tensor = tensor.decoded()
            config, observe = self.config, self.losses.observer(name)
            tensor = transform.lowered(tensor, config, observe)
            steps += (transform.name,)
        wanted = self.wanted(canonical, name, tensor)
        if wanted == tensor.encoding:
            return tensor, steps
        if tensor.encoding.is_quantized:
            steps += (f"decoded from {tensor.encoding.name}",)
            tensor = tensor.decoded()
        if wanted.is_quantized:
            steps += (f"quantised to {wanted.name}",)
            encoder = checked_encoder(self.registry, self.target, name, wanted)
            return tensor.encoded(wanted, encoder), steps
        if wanted != tensor.encoding:
            steps += (f"cast to {wanted.name}",)
        return tensor.cast(wanted, self.losses.observer(name)), steps

    def _asked(self, canonical: str, name: str, tensor: Tensor) -> Encoding | None:
        """Return the encoding that the user asks for, if any."""
        if self.options.quantization is None:
            return ENCODINGS[self.options.dtype] if self.options.dtype else None
        config = self.config
        asked = self.options.quantization.encoding(canonical, name, tensor, config)
        if asked and tensor.encoding.is_quantized and asked != tensor.encoding:
            self._require_requantizing(name, tensor, asked)
        return asked

    def _require_requantizing(self, name: str, tensor: Tensor, asked: Encoding) -> None:
        if self.options.quantization and not self.options.quantization.again:
            raise UnrepresentableError(
                self.target,
                f"{name}: is {tensor.encoding.name} and would have to be decoded to"
                f" become {asked.name}; quantise the model that it was made from",
            )

    def wanted(self, canonical: str, name: str, tensor: Tensor) -> Encoding:
        """Return the encoding to store: the format's, unless that loses unasked."""
        asked = self._asked(canonical, name, tensor)
        changeable = tensor.encoding.is_float or tensor.encoding.is_quantized
        if asked and changeable:
            probe = Tensor(tensor.shape, asked, tensor.source)
            stored = self.format.encoding_for(name, probe)
            if asked.is_quantized and stored != asked:
                raise UnrepresentableError(
                    self.target,
                    f"{name}: {self.format.name} does not hold {asked.name}; choose"
                    " another encoding for it with --tensor-type",
                )
            return stored
        wanted = self.format.encoding_for(name, tensor)
        exact = tensor.encoding.is_quantized or widens(tensor.encoding, wanted)
        if wanted != tensor.encoding and not exact and not self.options.lossy:
            raise UnrepresentableError(
                self.target,
                f"{name}: {self.format.name} stores it as {wanted.name}, which cannot"
                f" hold every {tensor.encoding.name} value; allow it with --lossy",
            )
        return wanted


def checked_encoder(
    registry: Registry, target: Path, name: str, encoding: Encoding
) -> Encoder:
    """Return what quantises the values of a tensor, if they are numbers.

    Raises UnrepresentableError, naming the tensor of the target, where no codec makes
    the encoding; the encoder does for values that the encoding cannot hold.
    """
    codec = registry.codec(encoding.name)
    if codec is None or codec.encode is None:
        raise UnrepresentableError(
            target,
            f"{name}: no installed codec encodes {encoding.name}; ggml's encoders"
            " come with 'aprhub[fast]' (see 'aprhub codecs')",
        )
    encode, decode = codec.encode, codec.decode
    header = np.empty(0, np.uint8)

    def refusal(what: str) -> UnrepresentableError:
        return UnrepresentableError(
            target,
            f"{name}: has values that are {what}, which {encoding.name} cannot hold;"
            " repair the source, or choose another encoding with --tensor-type",
        )

    def checked(values: NDArray[np.float32]) -> Bytes:
        largest = max(values.max(initial=0), -values.min(initial=0))
        if not np.isfinite(largest):
            raise refusal("infinite or no numbers")
        blocks = encode(values)
        # A scale that overflows its f16 makes infinities of finite values.
        if largest > _SAFE and not np.isfinite(decode(blocks, header)).all():
            raise refusal(f"as large as {largest:g}")
        return blocks

    return checked
