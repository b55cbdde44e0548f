"""Whether a tied model stays so when an adapter is merged into it."""

from typing import Final

from attrs import evolve

from aprhub.adapters.rows import same_rows
from aprhub.adapters.vocabulary import grows
from aprhub.conversion import Opened
from aprhub.equality import same_bytes
from aprhub.errors import ModelCheckError
from aprhub.ir.adapter import Adapter
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.ir.tensor import Tensor

UNTIED: Final = (
    "the embedding is changed and the head is not, as while the adapter is applied: the"
    " model is no longer tied, and a copy of the old embedding is its head"
)
UNTIED_HEAD: Final = (
    "the head is changed and the embedding is not, as while the adapter is applied: the"
    " model is no longer tied, and has a head of its own"
)


def untied(
    base: Opened, made: dict[str, Tensor], adapter: Adapter
) -> tuple[Opened, tuple[str, ...]]:
    """Give a tied model a head of its own where only one of both is changed.

    `made` is what the adapter asks for; it loses a head that stays tied. One whose
    vocabulary grows does, unless its head comes with other rows, and so does one whose
    embedding and head come alike. Raises ModelCheckError where a head of its own would
    have rows that nothing says.
    """
    model = base.found.model
    if HEAD in model.tensors or not made.keys() & {EMBEDDING, HEAD}:
        return base, ()
    has_grown = grows(adapter, model)
    if _is_tied(adapter, has_grown=has_grown):
        made.pop(HEAD, None)
        return base, ()
    if has_grown and EMBEDDING not in adapter.replacements:
        raise ModelCheckError(
            base.stored.path,
            "the adapter has new rows for the embedding and others for the head that is"
            " tied to it, and does not say what else they had; save it together with"
            " its embedding",
        )
    config = evolve(model.config, tie_embeddings=False)
    whole = adapter.replacements if has_grown else model.tensors
    tensors = {**model.tensors, HEAD: whole[EMBEDDING]}
    sources = {**base.found.sources, HEAD: base.found.sources[EMBEDDING]}
    model = evolve(model, config=config, tensors=tensors)
    found = evolve(base.found, model=model, sources=sources)
    note = UNTIED if EMBEDDING in made else UNTIED_HEAD
    return evolve(base, found=found), (note,)


def _is_tied(adapter: Adapter, *, has_grown: bool) -> bool:
    """Return whether an adapter has the same for the embedding and for the head."""
    if adapter.changes.keys() & {EMBEDDING, HEAD}:
        return False
    ours, theirs = map(adapter.replacements.get, (EMBEDDING, HEAD))
    if theirs is None:
        alike = ours is None or has_grown
    else:
        alike = ours is not None and same_bytes(ours, theirs)
    return alike and same_rows(adapter.rows.get(EMBEDDING), adapter.rows.get(HEAD))
