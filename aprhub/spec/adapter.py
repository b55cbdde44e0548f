"""Adapter layouts: how the changes of a model's weights are stored in files."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from attrs import field, frozen

from aprhub.ir.adapter import Adapter
from aprhub.ir.tensor import Tensor
from aprhub.spec.family import Family
from aprhub.spec.format import StoredModel


class AdapterPart(StrEnum):
    """What a tensor of an adapter is.

    `A` is `(r, in)` and `B` `(out, r)`; `MAGNITUDE` and `BIAS` are `(out)`, `LENGTHS`
    `(in)`; `WHOLE` takes the place of the model's own tensor, and
    `ROWS`, `(rows, columns)`, that of some of its rows. For experts that are
    stacked, `A` is `(experts * r, in)`, one expert below the other, and `B` is `(out, r
    * experts)`, with the experts side by side for each rank.
    """

    A = "lora A"
    B = "lora B"
    MAGNITUDE = "magnitude"
    LENGTHS = "magnitude of columns"
    BIAS = "bias of lora B"
    WHOLE = "whole tensor"
    ROWS = "single rows"


@frozen
class AdapterTensor:
    """One tensor of an adapter, as what it is and for which weight.

    `stored` is its name in the file, `weight` that of the weight in one of the layout's
    namings. `alpha` is set where the file says one for this pair alone, and `rows` are
    the indices of single rows.
    """

    stored: str
    weight: str
    part: AdapterPart
    tensor: Tensor = field(repr=False)
    alpha: float | None = None
    rows: tuple[int, ...] = ()


@frozen
class AlphaClaim:
    """A place that may say what alpha is, and what it says; None for nothing."""

    where: str
    value: float | None = None


@frozen
class StoredAdapter:
    """An adapter as one layout has it.

    `namings` are tried in turn for each tensor. `alphas` are the places where alpha is
    looked for, the first that says it counts. `strangers` are stored names that the
    layout has no meaning for.
    """

    container: StoredModel = field(repr=False)
    tensors: tuple[AdapterTensor, ...]
    namings: tuple[str, ...]
    alphas: tuple[AlphaClaim, ...] = ()
    rank_stabilised: bool = False
    strangers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file or folder that it was read from."""
        return self.container.path


@frozen
class AdapterFiles:
    """An adapter about to be written.

    `container` goes into one file of the layout's format: into `file` of a folder,
    together with `texts` by name, or without it into the target itself.
    """

    container: StoredModel = field(repr=False)
    file: str | None = None
    texts: Mapping[str, str] = field(factory=dict)
    notes: tuple[str, ...] = ()


@frozen
class AdapterLayout:
    """A layout of adapters in files of a format that is named.

    In a folder, the tensors are in the first of `files` that is there. `recognises`
    looks at an opened container and at what lies beside it; `open` gives its tensors
    their meaning. `lay_out` takes an adapter whose names and matrices are those of
    `naming`; None where a layout is only read. All raise an AprhubError for what they
    cannot read or hold.
    """

    name: str
    title: str
    format: str
    naming: str
    recognises: Callable[[StoredModel], bool] = field(repr=False)
    open: Callable[[StoredModel], StoredAdapter] = field(repr=False)
    lay_out: Callable[[Adapter, Family, Path], AdapterFiles] | None = field(
        default=None, repr=False
    )
    files: Sequence[str] = ()
