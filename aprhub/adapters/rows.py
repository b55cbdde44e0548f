"""Single rows that an adapter has in the place of some of the base's."""

from collections.abc import Iterator, Mapping, Sequence

from aprhub.adapters.parts import BASE, Parts
from aprhub.equality import same_bytes
from aprhub.errors import Fault
from aprhub.ir.adapter import Adapter, Rows
from aprhub.ir.encoding import F32
from aprhub.ir.joining import concatenated
from aprhub.ir.model import EMBEDDING, HEAD, ModelIR
from aprhub.ir.tensor import Tensor
from aprhub.spec.adapter import AdapterPart


def single_rows(groups: Mapping[str, Parts], model: ModelIR) -> dict[str, Rows]:
    """Return the rows that an adapter has, by the name of their tensor.

    A tied head has those of the embedding, unless the adapter has others for it.
    """
    found = {
        name: Rows(placed.told.rows, placed.tensor)
        for name, parts in groups.items()
        if (placed := parts.get(AdapterPart.ROWS))
    }
    if EMBEDDING in found and HEAD not in model.tensors:
        found.setdefault(HEAD, found[EMBEDDING])
    return found


def row_faults(groups: Mapping[str, Parts], model: ModelIR) -> Iterator[Fault]:
    """Yield what is wrong with single rows, besides their shape."""
    for name, parts in groups.items():
        if placed := parts.get(AdapterPart.ROWS):
            whole = parts.get(AdapterPart.WHOLE)
            count = (whole.tensor if whole else own(model, name)).shape[0]
            for problem in _problems(placed.told.rows, count):
                yield Fault(placed.told.stored, problem, BASE)
            if AdapterPart.A in parts:
                what = "single rows of a weight that has a low-rank change, too"
                yield Fault(placed.told.stored, what, "train the one or the other")


def _problems(ids: Sequence[int], count: int) -> Iterator[str]:
    if len({*ids}) != len(ids):
        yield "names a row twice"
    new = {each for each in ids if each >= count}
    untold = {*range(count, count + len(new))} - new
    if untold:
        yield f"has row {max(new)} of a tensor of {count}, and no row {min(untold)}"


def own(model: ModelIR, name: str) -> Tensor:
    """Return a tensor of a model; a tied head is the embedding."""
    return model.tensors[name if name in model.tensors else EMBEDDING]


def with_rows(tensor: Tensor, rows: Rows) -> Tensor:
    """Return a tensor with rows in the place of its own, or behind its last one.

    Where both are of one encoding, the others keep their bytes; else it is f32.
    """
    values = rows.values
    if values.encoding != tensor.encoding:
        tensor, values = tensor.cast(F32), values.cast(F32)
    return concatenated([*_pieces(tensor, values, rows.ids)])


def _pieces(tensor: Tensor, values: Tensor, ids: Sequence[int]) -> Iterator[Tensor]:
    """Yield what lies below each other: stretches of the tensor, and single rows."""
    start = 0
    for number, place in sorted((number, place) for place, number in enumerate(ids)):
        if start < min(number, tensor.shape[0]):
            yield tensor.sliced(start, min(number, tensor.shape[0]))
        yield values.sliced(place, place + 1)
        start = number + 1
    if start < tensor.shape[0]:
        yield tensor.sliced(start, tensor.shape[0])


def same_rows(one: Rows | None, other: Rows | None) -> bool:
    """Return whether there are the same rows for both, or none for both."""
    if one is None or other is None:
        return one is other
    return one.ids == other.ids and same_bytes(one.values, other.values)


def row_count(adapter: Adapter, name: str) -> int:
    """Return how many rows an adapter tells of for a tensor at least."""
    whole, rows = adapter.replacements.get(name), adapter.rows.get(name)
    listed = max(rows.ids, default=-1) + 1 if rows else 0
    return max(whole.shape[0] if whole else 0, listed)
