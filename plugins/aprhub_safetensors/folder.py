"""A model's folder: which files belong to the model, and that none lies outside."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from aprhub.api import (
    CorruptFileError,
    Document,
    MissingFileError,
    UnsupportedFileError,
    reading,
    shown,
)
from aprhub_safetensors.files import read_bytes, read_text, read_utf8
from aprhub_safetensors.recognition import PICKLES, SHARD
from aprhub_safetensors.tables import INDEX, LIMITS, SUFFIX

SINGLE = "model" + SUFFIX
MAX_NAME = 255


@frozen
class ModelFolder:
    """A folder and the names in it."""

    root: Path
    names: frozenset[str]

    @classmethod
    def of(cls, root: Path) -> "ModelFolder":
        """List a folder."""
        with reading(root):
            return cls(root, frozenset(each.name for each in root.iterdir()))

    def file(self, name: str) -> Path:
        """Return the path of a file of the folder.

        Raises CorruptFileError for a name that is a path, MissingFileError when there
        is no such file, and UnsupportedFileError for a link out of the folder.
        """
        if not _is_plain(name):
            what = f"{shown(name)} found, the name of a file in the folder expected"
            raise CorruptFileError(self.root / INDEX, what, where="weight_map")
        path = self.root / name
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise MissingFileError(
                path, "there is no such file, or a broken link; get it again"
            ) from error
        if not any(map(target.is_relative_to, _homes(self.root.resolve()))):
            raise UnsupportedFileError(
                path,
                f"a link that leads out of the folder, to {target}; put a copy of the"
                " file in its place",
            )
        return path

    def texts(self, names: Mapping[str, object]) -> dict[str, str]:
        """Return the texts of those of the files that are there."""
        return {
            name: read_text(self.file(name), LIMITS[name])
            for name in names
            if name in self.names
        }

    def utf8(self, name: str) -> bytes | None:
        """Return the bytes of a text, or None when it is not there."""
        if name not in self.names:
            return None
        return read_utf8(self.file(name), LIMITS[name])

    def data(self, name: str) -> bytes | None:
        """Return the bytes of a file, or None when it is not there."""
        if name not in self.names:
            return None
        return read_bytes(self.file(name), LIMITS[name])

    def index(self) -> Document | None:
        """Return the object of the index, or None when there is no index."""
        texts = self.texts({INDEX: None})
        return Document.parse(self.root / INDEX, texts[INDEX]) if texts else None


def _is_plain(name: str) -> bool:
    """Return whether a name is one that a file of a folder can have anywhere."""
    fits = 0 < len(name) <= MAX_NAME and name.isprintable()
    return fits and name not in (".", "..") and not set(name) & set("/\\")


def _homes(root: Path) -> Iterator[Path]:
    """Yield the folders that links may lead to: this one, and its repository's cache.

    The cache of the Hugging Face hub is `models--ORG--NAME/snapshots/REVISION`, where
    each file is a link to `../../blobs/HASH`.
    """
    yield root
    if root.parent.name == "snapshots" and root.parent.parent.name.startswith(
        "models--"
    ):
        yield root.parent.parent / "blobs"


def weight_files(folder: ModelFolder, index: Document | None) -> tuple[str, ...]:
    """Return the names of the files that hold the tensors, in order.

    Raises an InputError when the folder has none, or several without saying which.
    """
    found = sorted(name for name in folder.names if name.endswith(SUFFIX))
    if index is not None:
        return _indexed(folder, index, found)
    if SINGLE in found:
        return (SINGLE,)
    if len(found) == 1 and _is_whole(found[0]):
        return tuple(found)
    if found:
        what = (
            f"holds {', '.join(found[:3])}{' …' if len(found) > 3 else ''} but no"
            f" {INDEX} that says which belong together; add it, or give one file"
        )
        raise MissingFileError(folder.root, what)
    raise _no_weights(folder)


def _is_whole(name: str) -> bool:
    numbers = SHARD.fullmatch(name)
    return numbers is None or int(numbers[2]) == 1


def _no_weights(folder: ModelFolder) -> UnsupportedFileError | MissingFileError:
    pickles = sorted(name for name in folder.names if PICKLES.fullmatch(name))
    if pickles:
        what = (
            f"the weights are Python pickles ({pickles[0]}), which may run code when"
            " they are loaded; save them as safetensors where you trust them"
        )
        return UnsupportedFileError(folder.root, what)
    what = f"no {SUFFIX} file in the folder; name that which holds the weights"
    return MissingFileError(folder.root, what)


def _indexed(folder: ModelFolder, index: Document, found: list[str]) -> tuple[str, ...]:
    named = set(index.mapping("weight_map").values())
    if not named:
        raise index.fault("weight_map", "the file of each tensor, by name")
    for name in sorted(named):
        if not name.endswith(SUFFIX):
            raise index.fault(
                "weight_map", f"names of {SUFFIX} files, not {shown(name)}"
            )
        folder.file(name)
    strays = [name for name in found if name not in named and _is_ours(name)]
    if strays:
        what = f"the folder holds {strays[0]}, which the index does not mention"
        repair = "remove that file, or get the folder again"
        raise CorruptFileError(index.path, what, where="weight_map", repair=repair)
    return tuple(sorted(named))


def _is_ours(name: str) -> bool:
    return name == SINGLE or SHARD.fullmatch(name) is not None
