"""Spelling: which weights a stored tensor holds, and where in it they are.

A world may store several weights as one tensor: joined, one below the other, or, for
experts, stacked along a dimension of their own. Both are runs of whole rows, so taking
them apart and putting them together again works on packed bytes, and one undoes the
other.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NoReturn

from attrs import field, frozen

from aprhub.errors import ModelCheckError
from aprhub.ir.casting import Observer
from aprhub.ir.config import ModelConfig
from aprhub.ir.joining import concatenated, stacked
from aprhub.ir.tensor import Tensor
from aprhub.spec.family import EXPERT, MAX_EXPERTS, WeightSpec, evaluated, role_of

Change = Callable[[Tensor, ModelConfig], Tensor]

STACKED: Final = "experts stacked"
JOINED: Final = "rows joined"


@frozen
class Transform:
    """An invertible change between a world's layout and the canonical one.

    `lift` leads from the stored layout to the canonical one and `lower` back. A
    `packed_safe` transform moves whole rows and so works on quantised bytes. One that
    computes may round; `observed` is then `lower` with somebody who is told of it.
    """

    name: str
    lift: Change = field(eq=False, repr=False)
    lower: Change = field(eq=False, repr=False)
    packed_safe: bool = True
    observed: Callable[[Tensor, ModelConfig, Observer], Tensor] | None = field(
        default=None, eq=False, repr=False
    )

    def lowered(self, tensor: Tensor, config: ModelConfig, observe: Observer) -> Tensor:
        """Return the stored layout, telling of what it rounds where it can."""
        if self.observed:
            return self.observed(tensor, config, observe)
        return self.lower(tensor, config)


@frozen
class Part:
    """A weight in a stored tensor: its canonical name, its table entry, its layout.

    In a stack the name has `{j}` for the expert, and stands for one weight of each.
    """

    canonical: str
    spec: WeightSpec
    transform: Transform | None = None


@frozen
class Spelling:
    """A stored name, and the weights that the tensor of this name holds, in order."""

    stored: str
    parts: tuple[Part, ...]

    @property
    def canonical(self) -> str:
        """Return the canonical names as people read them."""
        return " + ".join(part.canonical for part in self.parts)

    @property
    def is_stacked(self) -> bool:
        """Whether the first dimension counts experts."""
        return EXPERT in self.parts[0].canonical

    @property
    def steps(self) -> tuple[str, ...]:
        """Say what is done to the weights to make one tensor of them."""
        joined = (JOINED,) if len(self.parts) > 1 else ()
        return (*joined, STACKED) if self.is_stacked else joined

    def part(self, name: str) -> Part:
        """Return the part that a canonical name belongs to."""
        role = role_of(name)
        return next(part for part in self.parts if part.spec.role == role)

    def held(self, shape: tuple[int, ...]) -> tuple[str, ...]:
        """Return the canonical names that a stored tensor of a shape holds, in order.

        None, where its first dimension cannot count experts.
        """
        return self.names(shape[0] if shape else 0)

    def names(self, experts: int | None) -> tuple[str, ...]:
        """Return the canonical names in the order of the rows."""
        if not self.is_stacked:
            return tuple(part.canonical for part in self.parts)
        count = experts if experts and experts <= MAX_EXPERTS else 0
        return tuple(
            part.canonical.format(j=expert)
            for expert in range(count)
            for part in self.parts
        )

    def split(
        self, tensor: Tensor, config: ModelConfig
    ) -> Iterator[tuple[str, Part, Tensor]]:
        """Yield each weight of a stored tensor: its name, its part, its rows.

        Raises ModelCheckError where the shape is not what the configuration gives.
        """
        if self.steps and tensor.encoding.flat:
            tensor = tensor.decoded()
        if self.is_stacked and not (len(tensor.shape) > 1 and self.held(tensor.shape)):
            self._refuse_shape(tensor, "one matrix for each expert")
        names = iter(self.held(tensor.shape))
        for whole in _unstacked(tensor) if self.is_stacked else (tensor,):
            for part, rows in zip(self.parts, self._cut(whole, config), strict=True):
                yield next(names), part, rows

    def _cut(self, tensor: Tensor, config: ModelConfig) -> Iterator[Tensor]:
        if len(self.parts) == 1:
            yield tensor
            return
        rows = [evaluated(part.spec.shape[0], config) for part in self.parts]
        if min(rows) < 1 or tensor.shape[:1] != (sum(rows),):
            formula = " + ".join(part.spec.shape[0] for part in self.parts)
            self._refuse_shape(tensor, f"{sum(rows)} rows = {formula}")
        for start, stop in itertools.pairwise((0, *itertools.accumulate(rows))):
            yield tensor.sliced(start, stop)

    def _refuse_shape(self, tensor: Tensor, expected: str) -> NoReturn:
        raise ModelCheckError(
            self.stored,
            f"has shape {tensor.shape}, expected {expected}; correct the configuration,"
            " or take a file whose tensors fit it",
        )

    def joined(self, weights: Sequence[Tensor]) -> Tensor:
        """Return the stored tensor of weights that are in its layout and order."""
        count = len(self.parts)
        if count > 1:
            starts = range(0, len(weights), count)
            weights = [concatenated(weights[at : at + count]) for at in starts]
        return stacked(weights) if self.is_stacked else weights[0]


def _unstacked(tensor: Tensor) -> Iterator[Tensor]:
    for expert in range(tensor.shape[0]):
        yield tensor.sliced(expert, expert + 1).reshaped(*tensor.shape[1:])
