"""Conversions by a writer that makes one mistake, in any format."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from aprhub.api import LayoutOptions, StoredModel, Tensor
from aprhub.conversion import opened
from aprhub.detect import target_format
from aprhub.encodings import LowerOptions
from aprhub.export.commit import Writing
from aprhub.export.staging import staged
from aprhub.lift import LiftOptions, decodable
from aprhub.lower import lowered
from aprhub.quantization import Quantization
from aprhub.registry import Registry

REGISTRY: Final = Registry.load()

Array = NDArray[np.float32]


@frozen
class Draft:
    """A model as it is about to be written; tensors are found by canonical names."""

    stored: StoredModel

    def called(self, canonical: str) -> str:
        """Return the stored name of the tensor that a weight is in."""
        family, naming = self.stored.family, self.stored.naming
        assert family
        assert naming
        spelling = REGISTRY.naming(naming).to_theirs(canonical, family)
        assert spelling
        return spelling.stored

    def tensor(self, canonical: str) -> Tensor:
        """Return the tensor that a weight is in."""
        return self.stored.tensors[self.called(canonical)]

    def with_tensor(self, canonical: str, tensor: Tensor | None) -> StoredModel:
        """Return the model with another tensor for a weight, or with none."""
        tensors = {**self.stored.tensors}
        name = self.called(canonical)
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = tensor
        return evolve(self.stored, tensors=tensors)

    def with_values(
        self, canonical: str, change: Callable[[Array], Array]
    ) -> StoredModel:
        """Return the model with the values of a weight changed."""
        values = change(self.tensor(canonical).numpy().astype(np.float32))
        changed = Tensor.of(np.ascontiguousarray(values))
        return self.with_tensor(canonical, changed)


Change = Callable[[Draft], StoredModel]


def unchanged(draft: Draft) -> StoredModel:
    """Make no mistake."""
    return draft.stored


def written(
    source: Path, target: Path, change: Change = unchanged, mixture: str | None = None
) -> Path:
    """Convert a model with one mistake; nobody checks what is written."""
    found = opened(source, REGISTRY, LiftOptions()).found
    fmt = target_format(target, REGISTRY, None)
    quantization = Quantization.of(mixture, ()) if mixture else None
    options = LowerOptions(quantization=quantization)
    ready = lowered(found, target, fmt, REGISTRY, options)
    assert fmt.lay_out
    readable = decodable(ready.stored.tensors, REGISTRY)
    draft = Draft(evolve(ready.stored, tensors=readable))
    layout = fmt.lay_out(change(draft), target, LayoutOptions())
    with (
        staged(target, is_folder=layout.folder) as staging,
        Writing(layout, staging) as writing,
    ):
        writing.outline()
        writing.fill()
        writing.settle()
        staging.publish([file.name for file in layout.files], fmt.companions)
    return target
