"""Encoders: what quantises tensors of a target, and refuses what blocks cannot hold."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from aprhub.errors import UnrepresentableError, about
from aprhub.ir.computed import Mapped, Operation
from aprhub.ir.encoding import F32, Encoding
from aprhub.ir.fitting import Fit, Fitted, fitted
from aprhub.ir.source import Bytes
from aprhub.ir.tensor import Encoder, Tensor
from aprhub.registry import Registry
from aprhub.spec.codec import Codec

Values = NDArray[np.float32]

_NO_HEADER = np.empty(0, np.uint8)
_SAFE = 2048.0
"""Values up to this size give every block type a scale that it can store."""


@frozen
class Encoders:
    """The installed encoders, for the tensors of a target.

    With `allow_nan`, infinite values and no numbers are given to those that take them.
    """

    registry: Registry
    target: Path
    allow_nan: bool = False

    def encoded(
        self,
        name: str,
        tensor: Tensor,
        encoding: Encoding,
        importance: Tensor | None = None,
    ) -> Tensor:
        """Return a tensor of the target, quantised when it is read.

        Raises UnrepresentableError, naming the tensor, where no codec makes the
        encoding; reading does for values that the encoding cannot hold.
        """
        codec = self.registry.codec(encoding.name)
        if codec is not None:
            checked = _Checked(self, name, tensor, encoding, codec)
            if codec.fit is not None:
                return fitted(tensor, encoding, partial(checked.fit, codec.fit))
            if codec.encode is not None:
                encoder = partial(checked.blocks, codec.encode, _NO_HEADER)
                return tensor.encoded(encoding, encoder, importance)
        raise UnrepresentableError(
            self.target,
            f"{name}: no installed codec encodes {encoding.name}; install ggml's with"
            " pip install 'aprhub[fast]', or choose one that 'aprhub codecs' lists",
        )

    def numbers(self, name: str, tensor: Tensor, scheme: str) -> Tensor:
        """Return a plain tensor that refuses what is no number when it is read."""
        encoding = tensor.encoding

        def checked(data: Bytes, _header: Bytes) -> Bytes:
            values = data.view(encoding.dtype or np.uint8).astype(np.float32)
            if not np.isfinite(values).all():
                where = _first_without_number(tensor)
                raise self.unencodable(name, where, scheme)
            return data

        mapped = Mapped.of(tensor, Operation("check"), checked, encoding)
        return Tensor(tensor.shape, encoding, mapped)

    def unencodable(
        self, name: str, what: str, encoding: str, hint: str = ""
    ) -> UnrepresentableError:
        """Return the error for values that an encoding cannot hold."""
        return UnrepresentableError(
            self.target,
            f"{name}: {what}, which {encoding} cannot hold; repair the source, or"
            f" choose another encoding, such as f32, with --tensor-type{hint}",
        )


@frozen
class _Checked:
    """One tensor's encoder, with a look at what goes in and what comes out."""

    encoders: Encoders
    name: str
    tensor: Tensor = field(repr=False)
    encoding: Encoding
    codec: Codec

    def fit(self, fit: Fit, pieces: Iterable[Values]) -> Fitted:
        header, encode = fit(self._numbers(pieces))
        return header, partial(self.blocks, encode, header)

    def blocks(
        self, encode: Encoder, header: Bytes, values: Values, importance: Values | None
    ) -> Bytes:
        largest = self._largest(values)
        with about(self.name):
            blocks = encode(values, importance)
        if np.isfinite(largest) and (importance is not None or largest > _SAFE):
            held = self.codec.decode(blocks, header)
            vanished = importance is None and not held.flat[np.abs(values).argmax()]
            # A scale that overflows its f16 makes infinities or zeros of finite
            # values; so do weights without bounds.
            if vanished or not np.isfinite(held).all():
                raise self._too_large(largest)
        return blocks

    def _numbers(self, pieces: Iterable[Values]) -> Iterator[Values]:
        for values in pieces:
            self._largest(values)
            yield values

    def _largest(self, values: Values) -> np.float32:
        """Return the largest absolute value, if it may be what it is."""
        largest: np.float32 = np.maximum(values.max(initial=0), -values.min(initial=0))
        allowed = self.encoders.allow_nan and self.codec.takes_nan
        if not (np.isfinite(largest) or allowed):
            raise self._unencodable(_first_without_number(self.tensor), self._hint())
        if self.codec.largest < largest < np.inf:
            raise self._too_large(largest)
        return largest

    def _hint(self) -> str:
        """Return what --allow-nan would do, or why it has done nothing."""
        if self.codec.takes_nan:
            return "; --allow-nan quantises such as ggml does"
        codecs = (each.value for each in self.encoders.registry.codecs)
        taking = ", ".join(each.name for each in codecs if each.takes_nan)
        return f"; --allow-nan is for encodings that take it: {taking or 'none here'}"

    def _too_large(self, largest: np.float32) -> UnrepresentableError:
        return self._unencodable(_as_large_as(largest))

    def _unencodable(self, what: str, hint: str = "") -> UnrepresentableError:
        name, encoding = self.name, self.encoding.name
        return self.encoders.unencodable(name, what, encoding, hint)


def _as_large_as(largest: np.float32) -> str:
    return f"has values that are as large as {largest:g}"


def _first_without_number(tensor: Tensor) -> str:
    """Return what the first value is that is infinite or no number, and where.

    The index has a number for each dimension, from 0.
    """
    seen = 0
    for piece in tensor.cast(F32).pieces():
        values = piece.view("<f4")
        found = np.flatnonzero(~np.isfinite(values))
        if found.size:
            index = np.unravel_index(seen + int(found[0]), tensor.shape)
            return f"is {values[found[0]]} at {list(map(int, index))}"
        seen += values.size
    return "was infinite or no number, but changed while it was read"
