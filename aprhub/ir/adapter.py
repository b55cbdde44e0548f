"""Adapter: changes of a model's weights, by the names of these."""

from collections.abc import Mapping
from types import MappingProxyType

from attrs import field, frozen

from aprhub.ir.lowrank import LowRank
from aprhub.ir.tensor import Tensor
from aprhub.ir.tokenizer import Tokenizer


def _frozen_changes(values: Mapping[str, LowRank]) -> Mapping[str, LowRank]:
    return MappingProxyType(dict(values))


def _frozen_tensors(values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return MappingProxyType(dict(values))


@frozen
class Rows:
    """Rows of a tensor: `values` is `(rows, columns)`, `ids` the index of each."""

    ids: tuple[int, ...]
    values: Tensor = field(repr=False)


def _frozen_rows(values: Mapping[str, Rows]) -> Mapping[str, Rows]:
    return MappingProxyType(dict(values))


@frozen
class Adapter:
    """Low-rank changes, and tensors and rows that take the place of a model's own.

    Names are canonical, and so are layouts; an adapter that is about to be written has
    those of its target. A weight may have several: it is replaced, then some of its
    rows are, then it is changed.
    `tokenizer` is the one that it was trained with, where that is not the model's.
    """

    changes: Mapping[str, LowRank] = field(factory=dict, converter=_frozen_changes)
    replacements: Mapping[str, Tensor] = field(factory=dict, converter=_frozen_tensors)
    tokenizer: Tokenizer | None = None
    rows: Mapping[str, Rows] = field(factory=dict, converter=_frozen_rows)

    @property
    def replaced(self) -> tuple[str, ...]:
        """The names of tensors that are replaced, as a whole or row by row."""
        return tuple(dict.fromkeys((*self.replacements, *self.rows)))
