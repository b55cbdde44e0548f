"""ModelIR: the one form in which a model is while it is worked on."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve, field, frozen

from aprhub.ir.config import ModelConfig
from aprhub.ir.sampling import SamplingDefaults
from aprhub.ir.tensor import Tensor
from aprhub.ir.tokenizer import Tokenizer

EMBEDDING: Final = "embed.weight"
HEAD: Final = "head.weight"
"""The canonical names of two tensors that may be one: then the head is tied."""


def _frozen_tensors(values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return MappingProxyType(dict(values))


def _frozen_carried(
    values: Mapping[str, Mapping[str, Any]],
) -> Mapping[str, Mapping[str, Any]]:
    return MappingProxyType(
        {world: MappingProxyType(dict(keys)) for world, keys in values.items() if keys}
    )


@frozen
class LineageStep:
    """One operation that a model went through.

    `inputs` maps each input's file name to a hash of its metadata and tensor table,
    `sha256-of-table:…`, or of the model in it, `aprhub-model-1:…`; `tools` maps
    distributions to versions.
    """

    operation: str
    inputs: Mapping[str, str]
    options: Mapping[str, Any] = field(factory=dict)
    tools: Mapping[str, str] = field(factory=dict)


@frozen
class Provenance:
    """Where a model comes from and under what terms; None where nobody says."""

    name: str | None = None
    description: str | None = None
    author: str | None = None
    version: str | None = None
    license: str | None = None
    data_source: str | None = None
    data_license: str | None = None
    source: str | None = None
    original_format: str | None = None
    created_at: str | None = None
    lineage: tuple[LineageStep, ...] = ()

    def extended(self, step: LineageStep) -> "Provenance":
        """Return the provenance with one more step at the end of its lineage."""
        return evolve(self, lineage=(*self.lineage, step))


@frozen
class ModelIR:
    """A model: configuration, tensors by canonical name, tokenizer, provenance.

    `carried` holds the keys of the source that have no canonical meaning, by format
    and key, as JSON-like data. `native` maps canonical names to the encoding a tensor
    had before a format forced a wider one on it, so that the way back can restore it.
    `sampling` is what its makers would have tokens drawn with.
    """

    config: ModelConfig
    tensors: Mapping[str, Tensor] = field(converter=_frozen_tensors)
    tokenizer: Tokenizer | None = None
    provenance: Provenance = field(factory=Provenance)
    carried: Mapping[str, Mapping[str, Any]] = field(
        factory=dict, converter=_frozen_carried
    )
    native: Mapping[str, str] = field(factory=dict)
    sampling: SamplingDefaults = field(factory=SamplingDefaults)

    @property
    def nbytes(self) -> int:
        """How many bytes the tensors take as encoded."""
        return sum(tensor.nbytes for tensor in self.tensors.values())
