"""What the metadata of a container says of the adapter in it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aprhub.api import AlphaClaim, CorruptFileError, StoredModel

ALPHAS: Final = ("lora_alpha", "alpha")
"""The keys under which alpha may stand."""


def metadata(container: StoredModel) -> Mapping[str, Any]:
    """Return the keys of a container that have no meaning for a model."""
    own = container.carried.get(container.format, {})
    nested = own.get("metadata")
    return nested if isinstance(nested, Mapping) else own


def alphas(container: StoredModel) -> Iterator[AlphaClaim]:
    """Yield the claims of a header; its numbers may be texts."""
    found = metadata(container)
    there = [key for key in ALPHAS if found.get(key) is not None]
    for key in there:
        yield AlphaClaim(f"{key} of the header", _number(container, key, found[key]))
    if not there:
        yield AlphaClaim(f"the header of {container.path.name}")


def _number(container: StoredModel, key: str, value: object) -> float:
    try:
        number = float(str(value))
    except ValueError as error:
        what = f"found {value!r:.80}, expected a number"
        raise CorruptFileError(container.path, what, where=key) from error
    return number
