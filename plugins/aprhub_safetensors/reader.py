"""Opens a model's folder, or one file of weights, as a stored model."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from aprhub.api import (
    HF_WORLD,
    Complaints,
    CorruptFileError,
    Document,
    KeyFate,
    MissingFileError,
    StoredModel,
    Tensor,
    shown,
)
from aprhub_safetensors.card import Card
from aprhub_safetensors.companions import Companions
from aprhub_safetensors.config import ReadConfig, read_config
from aprhub_safetensors.folder import ModelFolder, weight_files
from aprhub_safetensors.header import Header, read_header
from aprhub_safetensors.packing import read_claim
from aprhub_safetensors.recognition import SHARD
from aprhub_safetensors.record import OWN_WORLD, read_record
from aprhub_safetensors.sampling import read_sampling
from aprhub_safetensors.spelling import torch_dtype
from aprhub_safetensors.tables import (
    CARD,
    CONFIG,
    EMBEDDED,
    GENERATION,
    INDEX,
    LIMITS,
    PIECES,
    RECORD,
    SUFFIX,
    TEXTS,
    TOKENIZER,
)
from aprhub_safetensors.text_part import text_part
from aprhub_safetensors.vocabulary import read_tokenizer

TEXT_NAMES = (*TEXTS, TOKENIZER, RECORD)
"""Every text that belongs to a model."""

_MIXED = "get the folder again: files of two models were mixed"


@frozen
class Weights:
    """The headers of all files of a model."""

    headers: tuple[Header, ...]
    tensors: Mapping[str, Tensor] = field(repr=False)
    metadata: Mapping[str, str] = field(repr=False)


def open_model(path: Path) -> StoredModel:
    """Open a folder, its index, or a single file; no tensor is read.

    A file that has no configuration of its own takes that of the folder it lies in.
    """
    return stored_model(path, Complaints())


def stored_model(path: Path, complaints: Complaints) -> StoredModel:
    """Open a model as `open_model` does; `complaints` says what is forgiven."""
    if path.is_dir():
        return _open_folder(path, path, complaints)
    if path.name == INDEX:
        return _open_folder(path.parent, path, complaints)
    return _open_file(path, complaints)


def _open_folder(root: Path, path: Path, complaints: Complaints) -> StoredModel:
    folder = ModelFolder.of(root)
    index = folder.index()
    names = weight_files(folder, index)
    if CONFIG not in folder.names:
        what = (
            "there is no config.json, which says what the model is; give one of its"
            f" {SUFFIX} files to read the tensors alone"
        )
        raise MissingFileError(root / CONFIG, what)
    weights = _weights([read_header(folder.file(name)) for name in names])
    notes = tuple(_index_notes(index, weights)) if index else ()
    companions = _companions(folder, complaints)
    notes += tuple(_left_out(folder, names))
    return _stored(path, weights, companions, notes)


def _open_file(path: Path, complaints: Complaints) -> StoredModel:
    header = read_header(path)
    weights = _weights([header])
    texts = {
        key.removeprefix(EMBEDDED): text
        for key, text in header.metadata.items()
        if key.startswith(EMBEDDED) and key.removeprefix(EMBEDDED) in TEXT_NAMES
    }
    notes = tuple(_shard_notes(path))
    if texts:
        program = texts.pop(TOKENIZER).encode() if TOKENIZER in texts else None
        own = Companions(path, texts, program, complaints=complaints, embedded=True)
        return _stored(path, weights, own, notes)
    folder = ModelFolder.of(path.parent)
    if not {CONFIG, TOKENIZER} & folder.names:
        return _stored(path, weights, Companions(path.parent), notes)
    notes += ("config.json and the tokenizer are those that lie beside the file",)
    companions = _companions(folder, complaints)
    return _stored(path, weights, companions, notes)


def _companions(folder: ModelFolder, complaints: Complaints) -> Companions:
    texts = folder.texts(dict.fromkeys((*TEXTS, RECORD)))
    program = folder.utf8(TOKENIZER)
    pieces = None if program is not None else folder.data(PIECES)
    return Companions(folder.root, texts, program, pieces, Card.of(folder), complaints)


def _weights(headers: Sequence[Header]) -> Weights:
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for header in headers:
        found = header.tensors()
        twice = next((name for name in found if name in tensors), None)
        if twice is not None:
            what = f"tensor {shown(twice)} is in another file, too"
            raise CorruptFileError(header.path, what, where="header", repair=_MIXED)
        tensors.update(found)
        metadata.update(header.metadata)
    return Weights(tuple(headers), tensors, metadata)


def _index_notes(index: Document, weights: Weights) -> Iterator[str]:
    """Compare the index with the files, both ways; yield what does not matter."""
    claimed = index.mapping("weight_map")
    there = {
        each.name: header.path.name
        for header in weights.headers
        for each in header.entries
    }
    for name, file in claimed.items():
        if there.get(name) != file:
            raise _mixed(index, f"tensor {shown(name)} is not in {file}")
    for name, file in there.items():
        if name not in claimed:
            raise _mixed(index, f"tensor {shown(name)} of {file} is not mentioned")
    metadata = index.values.get("metadata")
    claim = metadata.get("total_size") if isinstance(metadata, dict) else None
    total = sum(tensor.nbytes for tensor in weights.tensors.values())
    if claim not in (None, total):
        yield f"{INDEX}: total_size is {shown(claim)}, but the tensors take {total}"


def _mixed(index: Document, what: str) -> CorruptFileError:
    return CorruptFileError(index.path, what, where="weight_map", repair=_MIXED)


def _shard_notes(path: Path) -> Iterator[str]:
    shard = SHARD.fullmatch(path.name)
    if shard and int(shard[2]) > 1:
        yield f"one of {int(shard[2])} files of a model; give the folder for all"


def _left_out(folder: ModelFolder, weights: Sequence[str]) -> Iterator[str]:
    read = {*weights, *LIMITS, CARD}
    left = sorted(name for name in folder.names - read if not name.startswith("."))
    if left:
        more = f" and {len(left) - 8} more" if len(left) > 8 else ""
        listed = ", ".join(map(shown, left[:8]))
        yield f"not part of the model, not read: {listed}{more}"


def _stored(
    path: Path, weights: Weights, companions: Companions, notes: tuple[str, ...]
) -> StoredModel:
    document = companions.document(CONFIG, companions.complaints)
    found = read_config(document) if document else ReadConfig()
    record = read_record(companions.document(RECORD))
    own = dict(_own_world(weights, document))
    texts = {**record.carried.get(HF_WORLD, {}), **companions.carried()}
    worlds = {**record.carried, HF_WORLD: texts, OWN_WORLD: own}
    notes += companions.card.notes
    tokenizer, tokenizer_notes = read_tokenizer(companions)
    generation = companions.document(GENERATION)
    sampling, odd = read_sampling(generation.values if generation else {})
    return StoredModel(
        OWN_WORLD,
        path,
        weights.tensors,
        found.config,
        tokenizer,
        companions.card.completing(record.provenance),
        {world: keys for world, keys in worlds.items() if keys},
        record.native,
        notes=(*notes, *found.notes, *tokenizer_notes, *_odd_notes(odd)),
        fates=(*found.fates, *_fates(weights, companions)),
        packing=read_claim(document, weights.tensors) if document else None,
        text_part=text_part(document),
        sampling=sampling,
    )


def _odd_notes(keys: Sequence[str]) -> Iterator[str]:
    for key in keys:
        yield f"{GENERATION}: {key} is not a number that tokens can be drawn with"


def _own_world(
    weights: Weights, document: Document | None
) -> Iterator[tuple[str, Any]]:
    """Yield what only safetensors files say: metadata, and a dtype unlike the config's.

    The `dtype` is noted so that it is not taken for a change of the weights later.
    """
    metadata = {
        key: text
        for key, text in weights.metadata.items()
        if key != "format" and not key.startswith(EMBEDDED)
    }
    if metadata:
        yield "metadata", metadata
    values = _values(document)
    said = values.get("dtype", values.get("torch_dtype"))
    dtype = torch_dtype(weights.tensors)
    if said is not None and dtype not in (None, said):
        yield "dtype", dtype


def _values(document: Document | None) -> Mapping[str, Any]:
    return document.values if document else {}


def _fates(weights: Weights, companions: Companions) -> Iterator[KeyFate]:
    for key in weights.metadata:
        if key == "format":
            yield KeyFate("__metadata__/format", "kept")
        elif not key.startswith(EMBEDDED):
            yield KeyFate(f"__metadata__/{key}", "carried", "carried.safetensors")
    for name in companions.texts:
        if name != CONFIG:
            yield KeyFate(name, "carried", f"carried.hf.{name}")
    if companions.program is not None:
        yield KeyFate(TOKENIZER, "kept", "tokenizer.json")
    if companions.pieces is not None:
        yield KeyFate(PIECES, "transformed", "tokenizer.flat")
