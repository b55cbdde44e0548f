"""An APR v2 file as a `StoredModel`; no byte of a tensor is read."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from aprhub.api import StoredModel, Tensor
from aprhub_apr import configuration, index, metadata, vocabulary
from aprhub_apr.claims import Claims
from aprhub_apr.container import Container, scanned
from aprhub_apr.index import Entry
from aprhub_apr.tables import OWN_TYPES


def open_apr(path: Path) -> StoredModel:
    """Open a file.

    Raises CorruptFileError, UnsupportedFileError or MissingFileError, which name the
    place in the file.
    """
    container = scanned(path)
    tensors = {each.name: _tensor(container, each) for each in container.entries}
    claims = Claims(path, container.header.metadata_offset, container.document.keys)
    sums = {
        "total_size": sum(each.size for each in container.entries),
        "param_count": sum(math.prod(each.shape) for each in container.entries),
    }
    return StoredModel(
        "apr",
        path,
        tensors,
        config=configuration.config(claims),
        tokenizer=vocabulary.tokenizer(claims),
        provenance=metadata.provenance(claims),
        native=metadata.native(claims),
        naming=metadata.naming(claims),
        carried=metadata.carried(claims, sums),
        notes=(*container.notes(), *_type_notes(container, tensors), *claims.notes),
        fates=tuple(claims.fates),
    )


def _tensor(container: Container, entry: Entry) -> Tensor:
    encoding = index.encoding(container.path, entry)
    start = container.header.data_offset + entry.offset
    return Tensor.at(container.path, start, entry.shape, encoding)


def _type_notes(
    container: Container, tensors: Mapping[str, Tensor]
) -> Iterator[str]:
    for entry in container.entries:
        name = tensors[entry.name].encoding.name
        if name not in OWN_TYPES:
            yield f"tensor {entry.name!r}: type {entry.type_id} is ggml's id of {name}"
