"""Fidelity: how close the tensors of one model come to those of another, in numbers."""

import math
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from attrs import asdict, frozen

from aprhub.equality import WORKERS
from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.model import ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.pairs import Values, paired_values

_LAYER = re.compile(r"layers\.(\d+)\.(.+)")


@frozen
class _Sums:
    """What all measures are made of; errors are the other's value less the one's."""

    count: int = 0
    squares: float = 0.0
    other_squares: float = 0.0
    products: float = 0.0
    squared_errors: float = 0.0
    max_error: float = 0.0

    @classmethod
    def of(cls, one: Values, other: Values) -> "_Sums":
        left, right = one.astype(np.float64), other.astype(np.float64)
        # Infinities and values that are no numbers make measures that are none.
        with np.errstate(invalid="ignore", over="ignore"):
            errors = right - left
            return cls(
                left.size,
                float(left @ left),
                float(right @ right),
                float(left @ right),
                float(errors @ errors),
                float(np.abs(errors).max(initial=0.0)),
            )

    def __add__(self, more: "_Sums") -> "_Sums":
        return _Sums(
            self.count + more.count,
            self.squares + more.squares,
            self.other_squares + more.other_squares,
            self.products + more.products,
            self.squared_errors + more.squared_errors,
            float(np.maximum(self.max_error, more.max_error)),
        )

    def measured(self, name: str, encodings: tuple[str, str]) -> "TensorFidelity":
        size = math.sqrt(self.squares) * math.sqrt(self.other_squares)
        return TensorFidelity(
            name,
            encodings,
            self.count,
            math.sqrt(self.squared_errors / max(self.count, 1)),
            _decibels(self.squares, self.squared_errors),
            self.products / size if size else float(self.squares == self.other_squares),
            self.max_error,
        )


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


@frozen
class TensorFidelity:
    """How close the values of one tensor come to those of another.

    `rmse` is the root of the mean squared error, `snr_db` the ratio of the one's power
    to the error's in decibels (infinite where there is no error), `cosine` that of the
    angle between both as vectors, `max_error` the largest absolute error. They are NaN
    where a value is infinite or no number.
    """

    name: str
    encodings: tuple[str, str]
    elements: int
    rmse: float
    snr_db: float
    cosine: float
    max_error: float

    @property
    def place(self) -> tuple[str, int | None]:
        """Return the role within a layer and the layer, or the name and None."""
        found = _LAYER.fullmatch(self.name)
        return (found[2], int(found[1])) if found else (self.name, None)


@frozen
class Fidelity:
    """The fidelity of each tensor that two models share, and of all as one."""

    tensors: tuple[TensorFidelity, ...]
    total: TensorFidelity

    def as_json(self) -> dict[str, Any]:
        """Return the measures as JSON-like data."""
        return {"schema": 1, **asdict(self)}


def fidelity(one: ModelIR, other: ModelIR) -> Fidelity:
    """Measure how close the tensors of `other` come to those of `one`.

    Values are decoded to f32, errors summed in f64. Raises ModelCheckError where the
    models do not have the same tensors in the same shapes, UnrepresentableError where
    no codec decodes one.
    """
    _require_same_tensors(one.tensors, other.tensors)
    names = list(one.tensors)

    def measured(name: str) -> tuple[_Sums, TensorFidelity]:
        left, right = one.tensors[name], other.tensors[name]
        sums = _summed(left, right)
        return sums, sums.measured(name, (left.encoding.name, right.encoding.name))

    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(measured, names))
    total = sum((sums for sums, _ in found), _Sums())
    return Fidelity(tuple(each for _, each in found), total.measured("all", ("", "")))


def _summed(one: Tensor, other: Tensor) -> _Sums:
    return sum((_Sums.of(*pair) for pair in paired_values(one, other)), _Sums())


def _require_same_tensors(
    one: Mapping[str, Tensor], other: Mapping[str, Tensor]
) -> None:
    repair = "give two files of one model"
    faults = [
        Fault(name, f"{_shape(one, name)} and {_shape(other, name)}", repair)
        for name in dict.fromkeys((*one, *other))
        if _shape(one, name) != _shape(other, name)
    ]
    if faults:
        what = "only models of the same tensors can be measured"
        raise ModelCheckError("fidelity", what, faults)


def _shape(tensors: Mapping[str, Tensor], name: str) -> str:
    return str(list(tensors[name].shape)) if name in tensors else "missing"
