"""Unpacking: the parts that quantised weights are stored as become weights again.

And the text model is taken out of a model that sees or hears.
"""

from attrs import evolve

from aprhub.errors import UnsupportedFileError, near_miss
from aprhub.lift import KEEP
from aprhub.registry import Registry
from aprhub.spec.format import StoredModel


def prepared(
    stored: StoredModel, registry: Registry, naming: str | None = None
) -> StoredModel:
    """Return a model as it is lifted: of text alone, and unpacked.

    What is no part of the text model keeps its name, so that no family knows it. With
    the naming `keep`, all stays as it is. Raises what `unpacked` does.
    """
    # What a file says of its packing is in the names of the whole.
    found = unpacked(stored, registry, naming)
    return found if naming == KEEP else _text_model(found, registry)


def unpacked(
    stored: StoredModel, registry: Registry, naming: str | None = None
) -> StoredModel:
    """Return a model with one tensor for each weight; nothing is computed yet.

    With the naming `keep`, the parts stay as they are. Raises UnsupportedFileError for
    a packing that no plugin knows, and what its `unpack` raises.
    """
    claim = stored.packing
    if claim is None:
        return stored
    if naming == KEEP:
        note = f"packed by {claim.method}: the parts are kept as they are stored"
        return evolve(stored, notes=(*stored.notes, note))
    known = sorted(each.value.name for each in registry.packings)
    if claim.method not in known:
        raise UnsupportedFileError(
            stored.path,
            f"{claim.where}: weights packed by {claim.method!r:.80} are not read"
            f" (known: {', '.join(known) or 'none'}); keep the parts as they are with"
            f" --naming {KEEP}{near_miss(claim.method, known)}",
        )
    result = registry.packing(claim.method).unpack(stored, claim)
    return evolve(result, packing=None)


def _text_model(stored: StoredModel, registry: Registry) -> StoredModel:
    """Return the text model in a model, if there is one of a family that is known."""
    part = stored.text_part
    families = [each.value for each in registry.families]
    found = (
        each for each in families if part and part.model_type in each.hf_model_types
    )
    family = next(found, None)
    if part is None or family is None:
        return stored
    return part.narrowed(stored, family.hf_classes[0])
