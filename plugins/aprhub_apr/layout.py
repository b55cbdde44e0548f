"""Where every byte of an APR v2 file goes.

Header (64 bytes), metadata, tensor index, payloads in the order of the index, footer;
metadata, index and each payload are padded with zeros to multiples of 64 bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aprhub.api import (
    Crc32,
    Layout,
    LayoutFile,
    LayoutOptions,
    Literal,
    Padding,
    StoredModel,
    Tensor,
    TensorData,
    UnrepresentableError,
    padding,
)
from aprhub_apr import document, metadata
from aprhub_apr.header import Header
from aprhub_apr.index import Entry
from aprhub_apr.tables import (
    ALIGNMENT,
    HEADER_BYTES,
    METADATA_WRITTEN,
    MOST_DIMENSIONS,
    NAME_BYTES,
    TYPE_IDS,
    Flag,
)


def lay_out(stored: StoredModel, target: Path, options: LayoutOptions) -> Layout:
    """Return the one file of a model.

    Raises UnrepresentableError for what the format has no room or no word for, and
    for shards, which no program reads.
    """
    if options.shard_size is not None:
        raise UnrepresentableError(
            target, "an APR model is one file; leave --shard-size out"
        )
    return container(metadata.described(stored), stored.tensors, target.name)


def container(
    keys: Mapping[str, object], tensors: Mapping[str, Tensor], name: str
) -> Layout:
    """Return the file `name` with these metadata keys and tensors."""
    placed = dict(sorted(tensors.items(), key=lambda item: _encoded(item[0])))
    return indexed(keys, tuple(_entries(placed)), placed, _flags(keys, placed), name)


def indexed(
    keys: Mapping[str, object],
    entries: Sequence[Entry],
    tensors: Mapping[str, Tensor],
    flags: Flag,
    name: str,
) -> Layout:
    """Return the file `name` whose index has these entries, in their order."""
    text = document.rendered(keys)
    if len(text) > METADATA_WRITTEN:
        raise UnrepresentableError(
            "metadata",
            f"{len(text)} bytes, programs read at most {METADATA_WRITTEN}; write a"
            " Hugging Face folder instead",
        )
    index = b"".join(entry.packed() for entry in entries)
    index_offset = HEADER_BYTES + _aligned(len(text))
    header = Header(
        flags,
        len(entries),
        HEADER_BYTES,
        len(text),
        index_offset,
        index_offset + _aligned(len(index)),
    )
    head = header.packed() + _padded(text) + _padded(index)
    data = _payloads({each.name: tensors[each.name] for each in entries})
    return Layout((LayoutFile.of(name, [Literal(head), *data, Crc32()]),))


def _encoded(name: str) -> bytes:
    try:
        data = name.encode()
    except UnicodeEncodeError as error:
        what = "the name is not UTF-8; rename the tensor in the source"
        raise UnrepresentableError(f"{name!r:.80}", what) from error
    if len(data) > NAME_BYTES:
        raise UnrepresentableError(
            name[:80],
            f"a name of {len(data)} bytes, at most {NAME_BYTES} are possible; rename"
            " the tensor in the source",
        )
    return data


def _entries(tensors: Mapping[str, Tensor]) -> Iterator[Entry]:
    offset = 0
    for name, tensor in tensors.items():
        if len(tensor.shape) > MOST_DIMENSIONS:
            raise UnrepresentableError(
                name,
                f"{len(tensor.shape)} dimensions, at most {MOST_DIMENSIONS} are"
                " possible; write a Hugging Face folder instead",
            )
        type_id = TYPE_IDS.get(tensor.encoding.name)
        if type_id is None:
            raise UnrepresentableError(
                name,
                f"APR has no type for {tensor.encoding.name}; write a Hugging Face"
                " folder instead",
            )
        entry = Entry(name, type_id, tensor.shape, offset, tensor.nbytes)
        offset = entry.padded_end
        yield entry


def _flags(keys: Mapping[str, object], tensors: Mapping[str, Tensor]) -> Flag:
    quantized = any(each.encoding.is_quantized for each in tensors.values())
    return (
        Flag.LAYOUT_ROW_MAJOR
        | (Flag.QUANTIZED if quantized else 0)
        | (Flag.HAS_VOCAB if keys.get("tokenizer.vocabulary") else 0)
    )


def _payloads(tensors: Mapping[str, Tensor]) -> Iterator[TensorData | Padding]:
    for name, tensor in tensors.items():
        yield TensorData(name, tensor)
        yield padding(tensor.nbytes, ALIGNMENT)


def _aligned(size: int) -> int:
    return size + -size % ALIGNMENT


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)
