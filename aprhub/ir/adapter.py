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
class Adapter:
    """Low-rank changes, and tensors that take the place of a model's own.

    Names are canonical, and so are layouts; an adapter that is about to be written has
    those of its target. A weight may have both: then it is replaced, then changed.
    `tokenizer` is the one that it was trained with, where that is not the model's.
    """

    changes: Mapping[str, LowRank] = field(factory=dict, converter=_frozen_changes)
    replacements: Mapping[str, Tensor] = field(factory=dict, converter=_frozen_tensors)
    tokenizer: Tokenizer | None = None
