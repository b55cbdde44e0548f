"""A stored model becomes an archive."""

from pathlib import Path

from aprhub.api import (
    Layout,
    LayoutOptions,
    Literal,
    StoredModel,
    UnrepresentableError,
)
from aprhub_npz import archive, arrays, description
from aprhub_npz.tables import METADATA


def lay_out(stored: StoredModel, target: Path, options: LayoutOptions) -> Layout:
    """Return the archive: the description first, then every tensor as an array."""
    if options.shard_size is not None:
        raise UnrepresentableError(
            target, "an archive is one file; leave --shard-size out"
        )
    about = archive.Member(METADATA, (Literal(description.written(stored)),))
    members = [arrays.packed(name, each) for name, each in stored.tensors.items()]
    return Layout((archive.packed(target.name, [about, *members]),))
