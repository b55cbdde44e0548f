"""Says where every byte of a GGUF file goes.

Version 3, little-endian, aligned to 32. Entries are sorted into sections and keep
their order within: `general.*`, the hyper-parameters, `tokenizer.*`, what other
programs had added, `aprhub.*`, `split.*`.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final

from aprhub.api import (
    Fault,
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
    sharded,
)
from aprhub_gguf.entries import encoded_entries
from aprhub_gguf.general import ARCHITECTURE_KEY, is_recomputed, layout_entries
from aprhub_gguf.metadata import config_entries
from aprhub_gguf.origin import ORIGIN_KEYS, importance_entries
from aprhub_gguf.parts import COUNT_KEY, NUMBER_KEY, TENSORS_KEY, PartName
from aprhub_gguf.sampling import sampling_entries
from aprhub_gguf.table import faults_of_row, type_id
from aprhub_gguf.tables import DEFAULT_ALIGNMENT, MAGIC, MAX_PARTS, VERSION
from aprhub_gguf.values import Entry, from_json
from aprhub_gguf.vocabulary import tokenizer_entries
from aprhub_gguf.worlds import (
    WORLD,
    identity_entries,
    native_entries,
    provenance_entries,
    world_entries,
)

_LARGE: Final = 1 << 16
Items = Sequence[tuple[str, Tensor]]
"""Tensors in their order, with their names."""


def lay_out_gguf(stored: StoredModel, target: Path, options: LayoutOptions) -> Layout:
    """Return the files of a model, split into parts when `options` say so.

    Raises UnrepresentableError with all tensors that GGUF cannot hold, or with the
    key that it cannot.
    """
    _require_representable(stored.tensors, target)
    entries = _sorted(_entries(stored, target))
    return split(
        target, entries, sharded([*stored.tensors.items()], options.shard_size)
    )


def split(
    target: Path, entries: Mapping[str, Entry], shards: Sequence[Items]
) -> Layout:
    """Return the layout of one file, or of as many parts as there are shards."""
    if len(shards) == 1:
        return Layout((_file(target.name, entries, shards[0]),))
    if len(shards) > MAX_PARTS:
        what = f"{len(shards)} parts, GGUF has {MAX_PARTS} at most; raise --shard-size"
        raise UnrepresentableError(target, what)
    return Layout(tuple(_parts(target.name, entries, shards)))


def laid_out(
    target: Path, entries: Mapping[str, Entry], tensors: Mapping[str, Tensor]
) -> Layout:
    """Return the layout of one file of any kind.

    Raises UnrepresentableError with all tensors that GGUF cannot hold.
    """
    _require_representable(tensors, target)
    return Layout((_file(target.name, entries, list(tensors.items())),))


def _parts(
    name: str, entries: Mapping[str, Entry], shards: Sequence[Items]
) -> Iterator[LayoutFile]:
    """Yield the parts, the first one last: it is the one that is opened."""
    given = PartName.of(name)
    prefix = given.prefix if given else name.removesuffix(".gguf")
    total = sum(map(len, shards))
    for number in reversed(range(len(shards))):
        split = {
            NUMBER_KEY: Entry("u16", number),
            COUNT_KEY: Entry("u16", len(shards)),
            TENSORS_KEY: Entry("i32", total),
        }
        part = str(PartName(prefix, number + 1, len(shards)))
        yield _file(part, {**({} if number else entries), **split}, shards[number])


def _file(name: str, entries: Mapping[str, Entry], items: Items) -> LayoutFile:
    head = _head(entries, items)
    segments: list[Literal | Padding | TensorData] = [*head]
    if items:
        size = sum(each.nbytes for each in head)
        segments.append(padding(size, DEFAULT_ALIGNMENT))
    for stored_name, tensor in items:
        segments.append(TensorData(stored_name, tensor))
        segments.append(padding(tensor.nbytes, DEFAULT_ALIGNMENT))
    return LayoutFile.of(name, segments)


def _head(entries: Mapping[str, Entry], items: Items) -> list[Literal]:
    counts = struct.pack("<IQQ", VERSION, len(items), len(entries))
    table = Literal(b"".join(_rows(items)))
    return [*_joined([Literal(MAGIC + counts), *encoded_entries(entries), table])]


def _joined(parts: Sequence[Literal]) -> Iterator[Literal]:
    """Yield parts with the small ones between large ones joined."""
    for is_large, group in groupby(parts, lambda part: part.nbytes > _LARGE):
        if is_large:
            yield from group
        else:
            yield Literal(b"".join(part.data for part in group))


def _rows(items: Items) -> Iterator[bytes]:
    offset = 0
    for name, tensor in items:
        text, rank = name.encode(), len(tensor.shape)
        # GGUF counts dimensions from the contiguous one, numpy from the slowest.
        sizes = reversed(tensor.shape)
        yield struct.pack("<Q", len(text)) + text
        yield struct.pack(f"<I{rank}Q", rank, *sizes)
        yield struct.pack("<IQ", type_id(tensor.encoding), offset)
        offset += tensor.nbytes + padding(tensor.nbytes, DEFAULT_ALIGNMENT).nbytes


def _require_representable(tensors: Mapping[str, Tensor], target: Path) -> None:
    faults: list[Fault] = []
    for name, tensor in tensors.items():
        faults += faults_of_row(name, tensor)
    if faults:
        raise UnrepresentableError(target, "GGUF cannot hold these tensors", faults)


def _entries(stored: StoredModel, target: Path) -> dict[str, Entry]:
    """Return what the model says, then what its source carried besides."""
    carried = stored.carried.get(WORLD, {})
    before = {key: from_json(key, data) for key, data in carried.items()}
    entries = _said(stored, _architecture(stored, target), carried)
    stale = ORIGIN_KEYS if stored.importance else ()
    for key, entry in before.items():
        if key in entries or key in stale or is_recomputed(key, carried[key]):
            continue
        entries[key] = entry
    return entries


def _architecture(stored: StoredModel, target: Path) -> str:
    if stored.family is not None:
        return stored.family.ggml_architecture
    identity = stored.config.identity
    name = identity.architecture or identity.hf_model_type
    if name is None:
        raise UnrepresentableError(
            target,
            "GGUF needs the name of the architecture; name the --family instead of"
            " --naming keep",
        )
    return name


def _said(
    stored: StoredModel, architecture: str, carried: Mapping[str, Any]
) -> dict[str, Entry]:
    flat = stored.tokenizer.flat if stored.tokenizer else None
    config = config_entries(
        architecture,
        stored.config,
        len(flat.tokens) if flat else None,
        carried,
        stored.family.defaults if stored.family else {},
    )
    sections = (
        layout_entries(architecture, stored.tensors, carried, stored.mixture),
        provenance_entries(stored.provenance),
        sampling_entries(stored.sampling),
        config.items(),
        tokenizer_entries(stored.tokenizer),
        identity_entries(stored.config.identity),
        native_entries(stored.native),
        world_entries(stored.carried),
        importance_entries(stored.importance),
    )
    return dict(chain.from_iterable(sections))


def _sorted(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries in their sections."""
    architecture = entries[ARCHITECTURE_KEY].value
    before = ("general.", f"{architecture}.", "tokenizer.")

    def section(key: str) -> int:
        places = (place for place, each in enumerate(before) if key.startswith(each))
        return next(places, len(before) + key.startswith("aprhub."))

    return {key: entries[key] for key in sorted(entries, key=section)}
