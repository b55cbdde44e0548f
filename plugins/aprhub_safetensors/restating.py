"""The texts of a model said anew; files of weights only where their header changes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from aprhub.api import (
    ENCODINGS,
    Layout,
    LayoutFile,
    Literal,
    Restated,
    Stamp,
    Tensor,
    TensorData,
    UsageError,
)
from aprhub_safetensors.companions import embedded
from aprhub_safetensors.files import read_bytes
from aprhub_safetensors.folder import ModelFolder, weight_files
from aprhub_safetensors.header import Header, read_header
from aprhub_safetensors.layout import text_files, weight_file
from aprhub_safetensors.reader import TEXT_NAMES
from aprhub_safetensors.said import (
    DERIVED,
    placed,
    restated_metadata,
    restated_texts,
    said_keys,
)
from aprhub_safetensors.tables import CONFIG, EMBEDDED, INDEX, LIMITS, PIECES, SUFFIX


@frozen
class Said:
    """What a model says of itself: its texts by name, and its weights' metadata."""

    texts: Mapping[str, str] = field(repr=False)
    metadata: Mapping[str, str]

    def keys(self) -> dict[str, Any]:
        """Return every key, by the file that it stands in."""
        return said_keys(self.texts, self.metadata)

    def stamped(self, path: Path, stamp: Stamp) -> "Said":
        """Return what the model at a path says with a stamp."""
        wanted = placed(stamp, self.texts)
        wanted.require(self.keys(), DERIVED)
        texts = restated_texts(path, self.texts, wanted)
        return Said(texts, restated_metadata(self.metadata, wanted))


def metadata(path: Path) -> Mapping[str, Any]:
    """Return all that a folder, its index, or a file of weights says of itself."""
    root = path.parent if path.name == INDEX else path
    said = _Folder.of(root).said if root.is_dir() else _in_file(read_header(root))
    return said.keys()


def restate(path: Path, stamp: Stamp, target: Path) -> Restated:
    """Return a folder, or one file, with a stamp.

    Raises UsageError for a key that follows from others and for a path that is only a
    part of a model, UnrepresentableError for what no file of the model can say.
    """
    if path.name == INDEX:
        raise UsageError(f"{path}: a part of a model; give its folder, {path.parent}")
    if path.is_dir():
        return _restated_folder(_Folder.of(path), stamp, target)
    return _restated_file(path, stamp, target)


def _restated_file(path: Path, stamp: Stamp, target: Path) -> Restated:
    header = read_header(path)
    before = _in_file(header)
    if not before.texts and (path.parent / CONFIG).exists():
        raise UsageError(
            f"{path}: its configuration lies beside it; give the folder, {path.parent}"
        )
    after = before.stamped(path, stamp)
    own = {**after.metadata, **embedded(after.texts)}
    return Restated(Layout((_weights(header, target.name, own),)), after.keys())


def _in_file(header: Header) -> Said:
    """Return what one file says: texts in its metadata, and the rest of these."""
    texts = {
        name.removeprefix(EMBEDDED): text
        for name, text in header.metadata.items()
        if name.startswith(EMBEDDED) and name.removeprefix(EMBEDDED) in TEXT_NAMES
    }
    own = {k: v for k, v in header.metadata.items() if k not in embedded(texts)}
    return Said(texts, own)


@frozen
class _Folder:
    """A model's folder, the headers of its weights, and what it says."""

    files: ModelFolder
    headers: tuple[Header, ...] = field(repr=False)
    said: Said

    @classmethod
    def of(cls, root: Path) -> "_Folder":
        files = ModelFolder.of(root)
        names = weight_files(files, files.index())
        headers = tuple(read_header(files.file(name)) for name in names)
        own = {key: text for each in headers for key, text in each.metadata.items()}
        return cls(files, headers, Said(files.texts(dict.fromkeys(TEXT_NAMES)), own))

    def changed(self, after: Said, target: Path) -> Iterator[LayoutFile]:
        """Yield the files that say something else; the others stay where they are."""
        if after.metadata != self.said.metadata:
            yield from self._weights(after)
        old, texts = self.said.texts, after.texts
        new = {name: text for name, text in texts.items() if old.get(name) != text}
        yield from text_files(new, target)

    def copied(
        self, after: Said, target: Path, gone: Iterable[str]
    ) -> Iterator[LayoutFile]:
        """Yield every file but hidden ones and those that are gone."""
        yield from self._weights(after)
        yield from text_files(after.texts, target)
        weights = {each.path.name for each in self.headers}
        for name in sorted(self.files.names - weights - {*after.texts, *gone}):
            path = self.files.root / name
            if path.is_file() and not name.startswith("."):
                yield _copied(self.files.file(name))

    def _weights(self, after: Said) -> Iterator[LayoutFile]:
        for header in self.headers:
            yield _weights(header, header.path.name, after.metadata)


def _restated_folder(folder: _Folder, stamp: Stamp, target: Path) -> Restated:
    root = folder.files.root
    if target.suffix.lower() == SUFFIX:
        raise UsageError(f"{target}: a stamped folder is a folder; leave {SUFFIX} out")
    after = folder.said.stamped(root, stamp)
    gone = {*folder.said.texts} - {*after.texts}
    if stamp.tokenizer is not None:
        gone |= {PIECES} & folder.files.names
    in_place = target.absolute() == root.absolute()
    files = (
        folder.changed(after, target)
        if in_place
        else folder.copied(after, target, gone)
    )
    layout = Layout(tuple(files), folder=True)
    return Restated(layout, after.keys(), tuple(sorted(gone)))


def _weights(header: Header, name: str, own: Mapping[str, str]) -> LayoutFile:
    tensors: Sequence[tuple[str, Tensor]] = [*header.tensors().items()]
    return weight_file(header.path, name, tensors, own)


def _copied(path: Path) -> LayoutFile:
    """Return a file as it is; what a reader looks at is written with the outline."""
    if path.name in LIMITS:
        return LayoutFile(path.name, (Literal(read_bytes(path, LIMITS[path.name])),))
    data = Tensor.at(path, 0, (path.stat().st_size,), ENCODINGS["u8"])
    return LayoutFile.of(path.name, (TensorData(path.name, data),))
