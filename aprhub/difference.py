"""Diff: what differs between two canonical models, and in which way."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from attrs import asdict, frozen

from aprhub.equality import same_bytes
from aprhub.ir.casting import widens
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import F32
from aprhub.ir.model import ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.pairs import Values, paired_values

EQUAL = ("equal", "widened")
"""Outcomes under which two tensors hold the same values."""


@frozen
class TensorDifference:
    """How one tensor compares.

    `outcome` is `equal`, `widened` (another encoding, every value equal), `missing`,
    `added`, `shape`, `transposed`, `permuted` (the same rows in another order),
    `cast` (rounded to another float), `requantised` (another or the same block type,
    other values) or `values`. `renamed` says that the stored names differ.
    `max_error` is the largest absolute difference of the values.
    """

    name: str
    outcome: str
    renamed: bool = False
    detail: str = ""
    max_error: float | None = None


@frozen
class Difference:
    """All differences of two models: tensors, configuration fields, tokenizer."""

    tensors: tuple[TensorDifference, ...]
    config: Mapping[str, tuple[Any, Any]]
    tokenizer: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the models compute the same."""
        same = all(each.outcome in EQUAL for each in self.tensors)
        return same and not self.config and not self.tokenizer

    def as_json(self) -> dict[str, Any]:
        """Return the differences as JSON-like data."""
        return {"schema": 1, "equal": self.is_empty, **asdict(self)}


def difference(
    one: ModelIR,
    other: ModelIR,
    names: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
) -> Difference:
    """Compare two models tensor by tensor, in bounded memory.

    `names` are the stored names of both by canonical name, to tell what was renamed.
    """
    return Difference(
        tuple(_tensors(one, other, names)),
        differing(one.config, other.config),
        tuple(_tokenizer(one, other)),
    )


def _tensors(
    one: ModelIR, other: ModelIR, names: tuple[Mapping[str, str], Mapping[str, str]]
) -> Iterator[TensorDifference]:
    for name in dict.fromkeys((*one.tensors, *other.tensors)):
        left, right = one.tensors.get(name), other.tensors.get(name)
        renamed = names[0].get(name) != names[1].get(name)
        if left is None or right is None:
            yield TensorDifference(name, "missing" if right is None else "added")
        else:
            yield compared(name, left, right, renamed=renamed)


def compared(
    name: str, one: Tensor, other: Tensor, *, renamed: bool = False
) -> TensorDifference:
    """Return how one tensor differs from another of the same name."""
    if one.shape != other.shape:
        outcome = "transposed" if _is_transposed(one, other) else "shape"
        detail = f"{one.shape} and {other.shape}"
        return TensorDifference(name, outcome, renamed, detail)
    if same_bytes(one, other):
        return TensorDifference(name, "equal", renamed)
    detail = f"{one.encoding.name} and {other.encoding.name}"
    if not (one.is_readable and other.is_readable):
        return TensorDifference(name, _kind(one, other), renamed, detail)
    error = _max_error(one, other)
    if error == 0:
        outcome = "equal" if one.encoding == other.encoding else "widened"
        return TensorDifference(name, outcome, renamed, detail)
    return TensorDifference(name, _kind(one, other), renamed, detail, error)


def _kind(one: Tensor, other: Tensor) -> str:
    """Name the reason for which values of one shape differ, most specific first."""
    if one.encoding == other.encoding:
        if has_same_rows(one, other):
            return "permuted"
        if _is_transposed(one, other):
            return "transposed"
        return "requantised" if one.encoding.is_quantized else "values"
    if one.encoding.is_quantized or other.encoding.is_quantized:
        return "requantised"
    rounded = one.cast(other.encoding), other
    back = other.cast(one.encoding), one
    return "cast" if same_bytes(*rounded) or same_bytes(*back) else "values"


def _is_transposed(one: Tensor, other: Tensor) -> bool:
    plain = one.encoding.is_plain and one.encoding == other.encoding
    if not plain or len(one.shape) != 2 or one.shape != other.shape[::-1]:
        return False
    return same_bytes(one.transposed(), other)


def has_same_rows(one: Tensor, other: Tensor) -> bool:
    """Return whether tensors of one encoding have the same rows, in whatever order."""
    has_rows = len(one.shape) > 1 or (one.shape and one.encoding.block_elements == 1)
    if one.encoding.flat or not has_rows:
        return False
    return sorted(_row_digests(one)) == sorted(_row_digests(other))


def _row_digests(tensor: Tensor) -> Iterator[int]:
    """Yield a hash of each row of dimension 0."""
    row = tensor.nbytes // max(tensor.shape[0], 1)
    step = max((1 << 22) // max(row, 1), 1)
    for first in range(0, tensor.shape[0] if row else 0, step):
        count = min(step, tensor.shape[0] - first)
        piece = np.empty(count * row, np.uint8)
        tensor.read_into(first * row, piece)
        for data in piece.reshape(count, row):
            yield hash(data.tobytes())


def same_values(one: Tensor, other: Tensor) -> bool:
    """Return whether all values are equal; NaNs must coincide.

    False for encodings with values that f32 has not: only their bytes tell.
    """
    both = one.encoding, other.encoding
    if not all(each.is_quantized or widens(each, F32) for each in both):
        return False
    return all(_largest_gap(*pair) == 0 for pair in paired_values(one, other))


def _max_error(one: Tensor, other: Tensor) -> float:
    """Return the largest absolute difference of the values; NaNs must coincide."""
    return max((_largest_gap(*pair) for pair in paired_values(one, other)), default=0.0)


def _largest_gap(a: Values, b: Values) -> float:
    with np.errstate(invalid="ignore"):
        gap = np.abs(a.astype(np.float64) - b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gap = np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))
    return float(gap.max(initial=0.0))


def differing(one: ModelConfig, other: ModelConfig) -> dict[str, tuple[Any, Any]]:
    """Return the fields that both sides give, and give differently."""
    left, right = one.known(), other.known()
    ignored = {"identity", "extra"}
    return {
        name: (left[name], right[name])
        for name in left
        if name in right and name not in ignored
        if not _same_number(left[name], right[name])
    }


def _same_number(one: Any, other: Any) -> bool:
    """Compare values; numbers as f32, which is how binary formats store them."""
    if isinstance(one, float) or isinstance(other, float):
        return bool(np.float32(one) == np.float32(other))
    if isinstance(one, dict) and isinstance(other, dict):
        keys = one.keys() & other.keys()
        return all(_same_number(one[key], other[key]) for key in keys)
    return bool(one == other)


def _tokenizer(one: ModelIR, other: ModelIR) -> Iterator[str]:
    left, right = one.tokenizer, other.tokenizer
    if left is None or right is None:
        if left is not right:
            yield "only one of the models has a tokenizer"
        return
    for name in left.special_ids.keys() & right.special_ids.keys():
        pair = left.special_ids[name], right.special_ids[name]
        if pair[0] != pair[1]:
            yield f"{name} id: {pair[0]} and {pair[1]}"
    if left.chat_template != right.chat_template:
        yield "the chat templates differ"
    if left.flat and right.flat and list(left.flat.tokens) != list(right.flat.tokens):
        yield "the vocabularies differ"
