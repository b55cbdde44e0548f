"""Format: how a container is recognised, opened, laid out and judged."""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve, field, frozen

from aprhub.errors import (
    Fault,
    UsageError,
)
from aprhub.files import opened_file, reading
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import Encoding
from aprhub.ir.importance import Importance
from aprhub.ir.model import Provenance
from aprhub.ir.sampling import SamplingDefaults
from aprhub.ir.source import FileRange
from aprhub.ir.tensor import Tensor
from aprhub.ir.tokenizer import Tokenizer
from aprhub.spec.family import Family
from aprhub.spec.layout import Layout, LayoutOptions
from aprhub.spec.quality import Answers
from aprhub.spec.stamp import Restated, Stamp
from aprhub.spec.text_part import TextPart

if TYPE_CHECKING:
    from aprhub.spec.health import Examined

HF_WORLD = "hf"
"""The key under which the texts of a Hugging Face folder's files are carried."""

HF_TOKENIZER_TEXTS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
"""What that world says of a tokenizer besides its `tokenizer.json`."""


class Confidence(IntEnum):
    """How sure a format is that a file belongs to it."""

    NONE = 0
    EXTENSION = 1
    STRUCTURE = 2
    MAGIC = 3


@frozen
class Magic:
    """Bytes that a file of a format has at a fixed place."""

    data: bytes
    offset: int = 0

    def matches(self, head: bytes) -> bool:
        """Return whether the head of a file has the bytes in place."""
        return head[self.offset : self.offset + len(self.data)] == self.data


@frozen
class FileEvidence:
    """What can be seen of a path without knowing any format.

    `head` is the first 4 KiB of a file; `names` the entries of a folder.
    """

    path: Path
    head: bytes = b""
    size: int = 0
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, path: Path) -> Self:
        """Look at a path once.

        Raises MissingFileError when there is no file or folder, or when it is a
        device, a pipe or a socket.
        """
        with reading(path):
            if path.is_dir():
                return cls(path, names=frozenset(each.name for each in path.iterdir()))
        with opened_file(path) as file:
            return cls(path, file.read(4096), path.stat().st_size)


@frozen
class KeyFate:
    """What became of one metadata key of a source.

    `fate` is `kept`, `renamed`, `transformed`, `carried` or `dropped`; `into` the
    place in the canonical model, `why` the reason where there is something to say.
    """

    key: str
    fate: str
    into: str = ""
    why: str = ""


@frozen
class PackingClaim:
    """What a file says of how weights are packed into several stored tensors each.

    `method` is the name of a packing; `settings` are its parameters, as JSON-like data
    that nobody has checked, and `where` is the place in the file where they stand.
    `native` is the encoding in which the model computes, where the file says so.
    """

    method: str
    settings: Mapping[str, Any] = field(factory=dict, repr=False)
    where: str = ""
    native: Encoding | None = None


def _frozen_tensors(values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return MappingProxyType(dict(values))


@frozen
class StoredChecksum:
    """A CRC-32 (IEEE, as zlib's) that a file has of some of its own bytes.

    `where` says where in the file it stands.
    """

    covered: FileRange
    crc: int
    where: str


@frozen
class StoredModel:
    """A model as one format has it: stored names, stored encodings, stored order.

    What the metadata says is already in canonical words: `config` holds the claims of
    the file (its `family` is None when it comes from `open`, and set when it goes to
    `lay_out`). `naming` names the convention of the tensor names, or is None where
    the file does not say; `namings` are then tried in turn for each tensor (the hub
    fills them in from the format). `native` and `sampling` are as in `ModelIR`.
    `notes` are oddities that the reader accepted. `checksums` are compared with the
    bytes when these are read to be written elsewhere, since `open` reads few of them.
    `mixture` names the mixture of encodings that a model was just quantised to, and
    `importance` is the matrix that was used for it. `packing` says how the tensors are
    parts of weights: of a source until they are unpacked, of a target where they were
    packed. `text_part` is the text model in a source that is more than that.
    """

    format: str
    path: Path
    tensors: Mapping[str, Tensor] = field(converter=_frozen_tensors)
    config: ModelConfig = field(factory=ModelConfig)
    tokenizer: Tokenizer | None = None
    provenance: Provenance = field(factory=Provenance)
    carried: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    native: Mapping[str, str] = field(factory=dict)
    naming: str | None = None
    namings: tuple[str, ...] = ()
    family: Family | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    fates: tuple[KeyFate, ...] = field(default=(), repr=False)
    checksums: tuple[StoredChecksum, ...] = ()
    mixture: str | None = None
    packing: PackingClaim | None = None
    importance: Importance | None = field(default=None, repr=False)
    text_part: TextPart | None = None
    sampling: SamplingDefaults = field(factory=SamplingDefaults)


def _no_structure(_evidence: FileEvidence) -> bool:
    return False


def _no_faults(_stored: StoredModel) -> Sequence[Fault]:
    return ()


def _nothing(_stored: StoredModel) -> Sequence[str]:
    return ()


def _as_it_is(_name: str, tensor: Tensor) -> Encoding:
    return tensor.encoding


@frozen
class Format:
    """A file format.

    `naming` is the convention that is written; `namings` are those that files use
    that do not say which, in the order in which they are tried for each tensor; without
    any, that is `naming`, and without that, names are the canonical ones.
    `open` parses a container without reading a tensor; None when it is only written.
    `lay_out` says where every byte goes; None when it is only read. `encoding_for`
    takes a stored name and a tensor and returns the encoding in which the format
    stores it: the tensor's own where possible. `runnable` judges a model that was
    written (re-opened, with its family set) by what the format's consumers need.
    `unheeded` says what they leave out of a model (lowered, with its family set) that
    they run all the same, one sentence for each.
    `examine` opens a file as `open` does, but forgives what can be put right, and says
    what that is; without it, `aprhub doctor` sees what `open` lets pass.
    With `stores_tied_head`, a tied head is stored as a copy of the embedding.
    `tokenizer_form` is the form that `lay_out` needs: `flat`, `json`, or None for no
    tokenizer. `packings` are the methods by which weights may be spread over several
    tensors. `writes_folder` says that the output is a folder, unless its
    name has one of the extensions.

    `metadata` returns all that a model says of itself, by the format's own keys and as
    JSON-like data. `restate` takes the path of a model, a stamp and a target, and says
    how the model's files are with the stamp; it raises UsageError for a key that
    follows from others, UnrepresentableError for what the format cannot say. `answers`
    says what a file answers to the questions of quality, where that is not what `open`
    makes of it.
    """

    name: str
    title: str
    extensions: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    magic: tuple[Magic, ...] = ()
    naming: str | None = None
    namings: tuple[str, ...] = ()
    stores_tied_head: bool = False
    tokenizer_form: str | None = None
    writes_folder: bool = False
    packings: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    has_structure: Callable[[FileEvidence], bool] = field(
        default=_no_structure, repr=False
    )
    open: Callable[[Path], StoredModel] | None = field(default=None, repr=False)
    lay_out: Callable[[StoredModel, Path, LayoutOptions], Layout] | None = field(
        default=None, repr=False
    )
    encoding_for: Callable[[str, Tensor], Encoding] = field(
        default=_as_it_is, repr=False
    )
    runnable: Callable[[StoredModel], Sequence[Fault]] = field(
        default=_no_faults, repr=False
    )
    unheeded: Callable[[StoredModel], Sequence[str]] = field(
        default=_nothing, repr=False
    )
    metadata: Callable[[Path], Mapping[str, Any]] | None = field(
        default=None, repr=False
    )
    restate: Callable[[Path, Stamp, Path], Restated] | None = field(
        default=None, repr=False
    )
    answers: Callable[[Path], Answers] | None = field(default=None, repr=False)
    examine: "Callable[[Path], Examined] | None" = field(default=None, repr=False)

    def opened(self, path: Path) -> StoredModel:
        """Open a file and say which namings to try for its tensors.

        Raises UsageError when the format is only written, and what `open` raises.
        """
        if self.open is None:
            raise UsageError(
                f"{path}: {self.name} is only written, not read; name the model that it"
                " was made from"
            )
        own = (self.naming,) if self.naming else ()
        return evolve(self.open(path), namings=self.namings or own)

    def confidence(self, evidence: FileEvidence) -> Confidence:
        """Return how sure the format is of a file; never raises."""
        if any(magic.matches(evidence.head) for magic in self.magic):
            return Confidence.MAGIC
        if self.has_structure(evidence):
            return Confidence.STRUCTURE
        if evidence.path.suffix.lower() in self.extensions:
            return Confidence.EXTENSION
        return Confidence.NONE
