"""What tells two models of one family apart, weight by weight."""

from collections.abc import Iterator

import numpy as np

from aprhub.conversion import Opened
from aprhub.equality import same_bytes
from aprhub.errors import Fault, ModelCheckError
from aprhub.export.commit import Progress
from aprhub.ir.joining import combined
from aprhub.ir.model import EMBEDDING, HEAD, ModelIR
from aprhub.ir.tensor import Tensor


def refuse_unlike(base: Opened, tuned: Opened) -> None:
    """Raise ModelCheckError unless two models have the same weights and shapes."""
    one, other = base.found, tuned.found
    if one.family is None or one.family != other.family:
        names = [each.family.name if each.family else "none" for each in (one, other)]
        what = (
            f"of family {names[1]}, but {base.stored.path} is of {names[0]};"
            " give two models of one family"
        )
        raise ModelCheckError(tuned.stored.path, what)
    left, right = _weights(one.model), _weights(other.model)
    repair = "give a model and one that was made from it"
    faults = [
        Fault(name, "missing" if name in left else "not in the base", repair)
        for name in sorted(left.keys() ^ right.keys())
    ]
    for name in left.keys() & right.keys():
        before, after = left[name].shape, right[name].shape
        if before != after:
            faults.append(
                Fault(name, f"has shape {after}, the base's {before}", repair)
            )
    if faults:
        unlike = f"not built like {base.stored.path}"
        raise ModelCheckError(tuned.stored.path, unlike, faults)


def _weights(model: ModelIR) -> dict[str, Tensor]:
    """Return the tensors of a model; a tied head is the embedding, named too."""
    return {HEAD: model.tensors[EMBEDDING], **model.tensors}


def compared_bytes(base: Opened) -> int:
    """Return how many bytes of the base are compared."""
    return sum(tensor.nbytes for tensor in _weights(base.found.model).values())


def changed(
    base: Opened, tuned: Opened, progress: Progress | None = None
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield the name of each weight that differs in value, with both of its forms.

    A head that is tied in both is no weight of its own. `progress` is told of the
    base's bytes of each weight that is done with.
    """
    one, other = base.found.model, tuned.found.model
    left, right = _weights(one), _weights(other)
    tied = HEAD not in one.tensors and HEAD not in other.tensors
    for name, before in left.items():
        after = right[name]
        own = name != HEAD or not tied
        if own and not same_bytes(before, after) and _differs(before, after):
            yield name, before, after
        if progress:
            progress(before.nbytes)


def difference(before: Tensor, after: Tensor) -> Tensor:
    """Return what was added to a weight, in f32."""
    return combined(np.subtract, [after, before])


def _differs(before: Tensor, after: Tensor) -> bool:
    delta = difference(before, after)
    return any(np.asarray(piece).view("<f4").any() for piece in delta.pieces())
