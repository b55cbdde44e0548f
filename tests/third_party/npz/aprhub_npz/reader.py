"""An archive becomes a stored model."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from aprhub.api import FileRange, KeyFate, StoredModel
from aprhub_npz import archive, arrays, description
from aprhub_npz.tables import METADATA, SUFFIX


def open_npz(path: Path) -> StoredModel:
    """Open an archive; a foreign one, without a description, has arrays only."""
    members = archive.unpacked(path)
    said = description.read(path, _text(members))
    tensors = {
        name.removesuffix(SUFFIX): arrays.unpacked(
            name.removesuffix(SUFFIX), extent, said.encodings
        )
        for name, extent in members.items()
        if name.endswith(SUFFIX)
    }
    return StoredModel(
        "npz",
        path,
        tensors,
        said.config,
        said.tokenizer,
        said.provenance,
        said.carried,
        said.native,
        fates=tuple(_fates(members)),
        sampling=said.sampling,
    )


def _text(members: Mapping[str, FileRange]) -> bytes:
    if METADATA not in members:
        return b""
    extent = members[METADATA]
    data = np.empty(extent.nbytes, np.uint8)
    extent.read_into(0, data)
    return data.tobytes()


def _fates(members: Mapping[str, FileRange]) -> list[KeyFate]:
    others = (name for name in members if not name.endswith(SUFFIX))
    return [
        KeyFate(name, "kept", "model")
        if name == METADATA
        else KeyFate(name, "dropped", why="neither an array nor the description")
        for name in others
    ]
