"""An APR v2 file as a `StoredModel`; no byte of a tensor is read."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from aprhub.api import Complaints, FileRange, StoredChecksum, StoredModel, Tensor
from aprhub_apr import configuration, index, metadata, stacks, vocabulary
from aprhub_apr.claims import Claims
from aprhub_apr.container import Container, scanned
from aprhub_apr.index import Entry
from aprhub_apr.tables import OWN_TYPES


def open_apr(path: Path) -> StoredModel:
    """Open a file.

    Raises CorruptFileError, UnsupportedFileError or MissingFileError, which name the
    place in the file.
    """
    complaints = Complaints()
    return stored_model(scanned(path, complaints, vocabulary.COLUMNS), complaints)


def stored_model(container: Container, complaints: Complaints) -> StoredModel:
    """Return what the sections of a file say; raises CorruptFileError as `open_apr`."""
    path = container.path
    keys = dict(container.document.keys)
    entries = stacks.in_order(container.entries, keys)
    tensors = {each.name: _tensor(container, each) for each in entries}
    start = container.header.metadata_offset
    claims = Claims(path, start, keys, complaints=complaints)
    return StoredModel(
        "apr",
        path,
        tensors,
        config=configuration.config(claims),
        tokenizer=vocabulary.tokenizer(claims),
        provenance=metadata.provenance(claims),
        native=metadata.native(claims),
        sampling=metadata.sampling(claims),
        naming=metadata.naming(claims),
        # Everything that nobody has taken by now is carried.
        carried=metadata.carried(claims, tensors),
        notes=(
            *container.notes(),
            *_type_notes(tensors),
            *_order_notes(container, tensors),
            *claims.notes,
        ),
        fates=tuple(claims.fates),
        checksums=tuple(_checksums(container)),
    )


def _checksums(container: Container) -> Iterator[StoredChecksum]:
    """Yield the footer, which some writers leave out; `notes` say so then."""
    if container.footer is not None:
        size = container.required_size
        covered = FileRange(container.path, 0, size)
        yield StoredChecksum(covered, container.footer, f"footer at byte {size}")


def _tensor(container: Container, entry: Entry) -> Tensor:
    encoding = index.encoding(container.path, entry)
    start = container.header.data_offset + entry.offset
    return Tensor.at(container.path, start, entry.shape, encoding)


def _order_notes(container: Container, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    turned = [e.name for e in container.entries if e.shape != tensors[e.name].shape]
    if turned:
        yield f"{len(turned)} stacks of experts have their dimensions in ggml's order"


def _type_notes(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    foreign = Counter(each.encoding.name for each in tensors.values())
    for name in sorted(foreign.keys() - OWN_TYPES):
        yield f"{foreign[name]} tensors have ggml's type id of {name}"
