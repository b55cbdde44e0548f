"""Manifest: the files that a model is in, each with its hash, and the model's own."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from aprhub.hashing import hashed
from aprhub.ir.model import ModelIR
from aprhub.lineage import file_fingerprint
from aprhub.spec.format import StoredModel

_OF_GIT: Final = frozenset({".git", ".gitattributes", ".github", ".gitignore"})


@frozen
class ManifestFile:
    """A file by its path in the model's folder, with `/`; `sha256` is of its bytes."""

    name: str
    sha256: str
    nbytes: int


@frozen
class Manifest:
    """All files of a model, in order of their paths, and the hash of the model.

    `model` is that of `aprhub.hashing`; it stays when the model is converted.
    """

    path: Path
    model: str
    files: tuple[ManifestFile, ...]

    @property
    def root(self) -> str:
        """The SHA-256 over the hashes of the files, as bytes, in order.

        It is the digest of the subject that a signature of OpenSSF model signing has.
        """
        digests = (bytes.fromhex(file.sha256) for file in self.files)
        return hashlib.sha256(b"".join(digests)).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return the manifest as JSON-like data."""
        return {"schema": 1, **asdict(self), "root": self.root}


def manifest(stored: StoredModel, model: ModelIR) -> Manifest:
    """Return the manifest of an opened model; reads all of its files, and its weights.

    Of a folder, every file counts but those of git. Raises EnvironmentFailureError for
    a file that cannot be read.
    """
    paths = model_files(stored)
    home = stored.path if stored.path.is_dir() else stored.path.parent
    files = tuple(
        ManifestFile(
            path.relative_to(home).as_posix(),
            file_fingerprint(path).partition(":")[2],
            path.stat().st_size,
        )
        for path in paths
    )
    return Manifest(stored.path, hashed(model).model, files)


def model_files(stored: StoredModel) -> list[Path]:
    """Return the files of a model in order: its folder's, or all its shards."""
    home = stored.path
    if not home.is_dir():
        return sorted({home, *_shards(stored)})
    return sorted(
        path
        for path in home.rglob("*")
        if path.is_file() and path.relative_to(home).parts[0] not in _OF_GIT
    )


def _shards(stored: StoredModel) -> Iterator[Path]:
    for tensor in stored.tensors.values():
        for segment in tensor.segments() or ():
            yield segment.path
