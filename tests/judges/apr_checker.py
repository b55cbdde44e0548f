"""The strict judge of APR v2 files: is it written by the rules, and would it run?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from tests.judges import apr_metadata, apr_runnable
from tests.judges.apr_container import (
    APR_Q4,
    APR_Q8,
    LEGACY,
    Q4_K,
    Q6_K,
    Container,
    MalformedError,
    align64,
    parse,
)

_SHARDED, _QUANTIZED, _HAS_VOCAB, _ROW_MAJOR = 0x0010, 0x0020, 0x0200, 0x0400
_QUANTIZED_IDS: Final = {APR_Q4, APR_Q8, Q4_K, Q6_K, *LEGACY}
# Signed, filter bank, model card, streaming: known, kept from a source, no claim.
_UNJUDGED: Final = 0x01C8
_LONGEST_NAME: Final = 256


@frozen
class Content:
    """What a file holds: name to (dtype id, shape, payload), and the metadata."""

    tensors: dict[str, tuple[int, tuple[int, ...], bytes]]
    metadata: dict[str, Any]


def read(path: Path) -> Content:
    """Return everything in a file; raises MalformedError for one to be refused."""
    container = parse(path)
    tensors = {
        entry.name: (entry.dtype, entry.shape, container.payload(entry))
        for entry in container.entries
    }
    return Content(tensors, container.metadata)


def check(path: Path) -> list[str]:
    """Return every breach of the rules for writers, none for a perfect file."""
    try:
        container = parse(path)
    except MalformedError as error:
        return [str(error)]
    return [
        *_header_faults(container),
        *_layout_faults(container),
        *_payload_faults(container),
        *apr_metadata.poison(container),
        *apr_metadata.type_faults(container.metadata, nulls=False),
        *apr_metadata.writer_faults(container),
        *_claim_faults(container),
    ]


def runnable(path: Path) -> list[str]:
    """Return what would keep the reference system from serving the file."""
    try:
        container = parse(path)
    except MalformedError as error:
        return [str(error)]
    return list(apr_runnable.findings(container))


def _header_faults(container: Container) -> Iterator[str]:
    if container.version != (2, 0):
        yield f"header: version {container.version}"
    if any(container.reserved):
        yield "header: reserved bytes are not zero"
    found, expected = container.flags & ~_UNJUDGED, _truthful_flags(container)
    if found != expected:
        yield f"header: flags {found:#06x}, {expected:#06x} expected"


def _truthful_flags(container: Container) -> int:
    claims = {
        _ROW_MAJOR: True,
        _QUANTIZED: any(e.dtype in _QUANTIZED_IDS for e in container.entries),
        _HAS_VOCAB: bool(container.metadata.get("tokenizer.vocabulary")),
        _SHARDED: container.metadata.get("sharding") is not None,
    }
    return sum(bit for bit, claimed in claims.items() if claimed)


def _layout_faults(container: Container) -> Iterator[str]:
    metadata_end = container.metadata_offset + container.metadata_size
    found = (container.metadata_offset, container.index_offset, container.data_offset)
    expected = (64, align64(metadata_end), align64(container.index_end))
    if found != expected:
        yield f"layout: sections at {found}, {expected} expected"
    for start, end in (
        (metadata_end, container.index_offset),
        (container.index_end, container.data_offset),
    ):
        if any(container.data[start:end]):
            yield f"layout: padding {start}..{end} is not zero"
    length = container.required_length + 4
    if len(container.data) != length:
        yield f"layout: {len(container.data)} bytes, {length} expected"


def _payload_faults(container: Container) -> Iterator[str]:
    """Walk the payloads in the order of their bytes: no gap, no overlap, zeros."""
    expected = 0
    for entry in sorted(container.entries, key=lambda e: (e.offset, e.padded)):
        if entry.offset != expected:
            yield f"{entry.name}: offset {entry.offset}, {expected} expected"
        expected = entry.offset + entry.padded
        end = container.data_offset + entry.offset + entry.size
        if any(container.data[end : container.data_offset + expected]):
            yield f"{entry.name}: padding is not zero"
        if entry.dtype in LEGACY:
            yield f"{entry.name}: legacy dtype id {entry.dtype}"
        if not 0 < len(entry.name.encode()) <= _LONGEST_NAME:
            yield f"{entry.name}: a name of {len(entry.name.encode())} bytes"


def _claim_faults(container: Container) -> Iterator[str]:
    """Compare what custom keys say about the tensors with the tensors."""
    shapes = {entry.name: list(entry.shape) for entry in container.entries}
    if container.metadata.get("tensor_shapes", shapes) != shapes:
        yield "metadata: tensor_shapes is not the index"
    if "tied_embeddings" in container.metadata and not _is_tied(container):
        yield "metadata: tied_embeddings, but head and embedding differ"


def _is_tied(container: Container) -> bool:
    payloads = {e.name: container.payload(e) for e in container.entries}
    embedding = apr_runnable.named(payloads, "embedding")
    return (
        container.metadata["tied_embeddings"] is True
        and embedding is not None
        and embedding == apr_runnable.named(payloads, "head")
    )
