"""Assembly: which weights go into each tensor to store, and how they become one."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from aprhub import rope
from aprhub.encodings import Encodings, Steps
from aprhub.errors import UnrepresentableError
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.ir.tensor import Tensor
from aprhub.lift import Lifted
from aprhub.spec.naming import Dialect, Naming
from aprhub.spec.spelling import Spelling


@frozen
class Group:
    """The weights of one tensor to store, by canonical name, in canonical layout.

    `spelling` is None where the weight is stored under its canonical name.
    """

    spelling: Spelling | None
    weights: dict[str, Tensor]


@frozen
class Piece:
    """A weight in a stored tensor: its stored layout, and what led to it."""

    tensor: Tensor
    steps: Steps


def groups(
    lifted: Lifted, naming: Naming | None, target: Path, *, tied_head: bool
) -> dict[str, Group]:
    """Return the weights of each tensor to store, by stored name.

    With `tied_head`, a tied head is stored besides. Raises UnrepresentableError for a
    weight that the naming has no name for.
    """
    found: dict[str, Group] = {}
    dialect = naming.of(lifted.family) if naming and lifted.family else None
    for canonical, tensor in _weights(lifted, tied_head=tied_head):
        spelling = _spelling(dialect, canonical, target)
        name = spelling.stored if spelling else canonical
        found.setdefault(name, Group(spelling, {})).weights[canonical] = tensor
    if naming and naming.rope_factors:
        for what, factors in rope.factors(lifted.model.config).items():
            name = naming.rope_factors[what]
            found[name] = Group(None, {name: Tensor.of(factors)})
    return found


def _weights(lifted: Lifted, *, tied_head: bool) -> Iterator[tuple[str, Tensor]]:
    model = lifted.model
    yield from model.tensors.items()
    tied = HEAD not in model.tensors and model.config.tie_embeddings
    if lifted.family and tied and tied_head:
        yield HEAD, model.tensors[EMBEDDING]


def _spelling(dialect: Dialect | None, canonical: str, target: Path) -> Spelling | None:
    if dialect is None:
        return None
    spelling = dialect.to_theirs(canonical)
    if spelling is None:
        name = dialect.naming.name
        what = f"naming {name} has no name for {canonical}; choose another format"
        raise UnrepresentableError(target, what)
    return spelling


def assembled(
    name: str, group: Group, encodings: Encodings
) -> tuple[Tensor, Mapping[str, Piece]]:
    """Return the tensor to store, and its pieces by canonical name."""
    pieces = {
        canonical: _laid_out(name, canonical, tensor, group.spelling, encodings)
        for canonical, tensor in group.weights.items()
    }
    spelling = group.spelling
    if spelling and spelling.steps:
        pieces = _alike(spelling, pieces, encodings)
        stored = spelling.joined([piece.tensor for piece in pieces.values()])
    else:
        (stored,) = (piece.tensor for piece in pieces.values())
    return stored, pieces


def _laid_out(
    name: str,
    canonical: str,
    tensor: Tensor,
    spelling: Spelling | None,
    encodings: Encodings,
) -> Piece:
    transform = spelling.part(canonical).transform if spelling else None
    return Piece(*encodings.laid_out(name, tensor, transform))


def _alike(
    spelling: Spelling, pieces: Mapping[str, Piece], encodings: Encodings
) -> dict[str, Piece]:
    """Return pieces in the order of the rows, in one encoding for all."""
    names = spelling.names(encodings.config.num_experts)
    common = encodings.common([piece.tensor for piece in pieces.values()])
    found = {}
    for name in names:
        tensor, steps = encodings.widened(pieces[name].tensor, common)
        found[name] = Piece(tensor, (*pieces[name].steps, *steps, *spelling.steps))
    return found
