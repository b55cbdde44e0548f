"""Layout: where every byte of an output goes, before any is written."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from attrs import frozen

from aprhub.ir.tensor import Tensor


@frozen
class Literal:
    """Bytes that the format spells out: headers, tables, metadata.

    What takes long to spell out is given as a function, which is called while tensors
    are being written, and what it returns is not kept. In a file that has tensors its
    `nbytes` should be told; where they are not, it is called to count them, too.
    """

    _spelled: bytes | Callable[[], bytes]
    _nbytes: int | None = None

    @cached_property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return len(self.data) if self._nbytes is None else self._nbytes

    @property
    def is_counted(self) -> bool:
        """Whether `nbytes` is known without spelling anything out."""
        return isinstance(self._spelled, bytes) or self._nbytes is not None

    @property
    def data(self) -> bytes:
        """The bytes."""
        return self._spelled if isinstance(self._spelled, bytes) else self._spelled()


@frozen
class Padding:
    """Zero bytes up to an alignment."""

    nbytes: int


@frozen
class TensorData:
    """The encoded bytes of a tensor, under its stored name."""

    name: str
    tensor: Tensor

    @property
    def nbytes(self) -> int:
        """How many bytes the segment takes."""
        return self.tensor.nbytes


@frozen
class Crc32:
    """CRC-32 (IEEE, as zlib's) of the bytes `[start, stop)` of its file, little-endian.

    `stop` None means the checksum's own place, so that without bounds it covers all
    before it. The range may follow the checksum, too; it begins and ends where
    segments do, and holds no checksum but earlier ones.
    """

    nbytes: int = 4
    start: int = 0
    stop: int | None = None


Segment = Literal | Padding | TensorData | Crc32


@frozen
class LayoutFile:
    """One file: its name beside (or inside) the target, and its segments in order."""

    name: str
    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, name: str, segments: Iterable[Segment]) -> "LayoutFile":
        """Return a file without its empty segments."""
        return cls(name, tuple(each for each in segments if each.nbytes))

    @property
    def nbytes(self) -> int:
        """The exact size of the file."""
        return sum(segment.nbytes for segment in self.segments)

    @property
    def tensor_bytes(self) -> int:
        """How much of the file is the bytes of tensors."""
        data = (each for each in self.segments if isinstance(each, TensorData))
        return sum(each.nbytes for each in data)

    @property
    def has_tensors(self) -> bool:
        """Whether tensors are in it."""
        return any(isinstance(each, TensorData) for each in self.segments)

    @property
    def is_counted(self) -> bool:
        """Whether its size is known without spelling anything out."""
        literals = (each for each in self.segments if isinstance(each, Literal))
        return all(each.is_counted for each in literals)


@frozen
class Layout:
    """All files of an output.

    With `folder`, the target is a folder that holds the files by their names;
    otherwise they are siblings in the target's folder. The last file is put in place
    last, so it should be the one that a reader opens first.
    """

    files: tuple[LayoutFile, ...]
    folder: bool = False

    @property
    def nbytes(self) -> int:
        """The exact size of the whole output."""
        return sum(file.nbytes for file in self.files)

    @property
    def bulk(self) -> int:
        """The size of all files but texts that have yet to be spelled out."""
        return sum(file.nbytes for file in self.files if file.is_counted)


@frozen
class LayoutOptions:
    """What a user may ask of a layout: the largest size of one file in bytes."""

    shard_size: int | None = None


def padding(position: int, alignment: int) -> Padding:
    """Return the padding from a position to the next multiple of an alignment."""
    return Padding(-position % alignment)


def sharded(
    items: Sequence[tuple[str, Tensor]], limit: int | None
) -> list[list[tuple[str, Tensor]]]:
    """Split tensors into shards of at most `limit` bytes of data, in order.

    A tensor is never cut: one that is larger than the limit has a shard of its own.
    """
    shards: list[list[tuple[str, Tensor]]] = [[]]
    used = 0
    for name, tensor in items:
        if limit is not None and shards[-1] and used + tensor.nbytes > limit:
            shards.append([])
            used = 0
        shards[-1].append((name, tensor))
        used += tensor.nbytes
    return shards
