"""Opens GGUF files as stored models."""

from collections.abc import Iterable
from pathlib import Path

from attrs import evolve

from aprhub.api import Complaints, ModelConfig, StoredModel
from aprhub_gguf.general import hyper_prefix, read_architecture, settle_layout
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.metadata import read_config
from aprhub_gguf.parts import merged_tensors, read_parts
from aprhub_gguf.sampling import read_sampling
from aprhub_gguf.vocabulary import read_tokenizer, token_count
from aprhub_gguf.worlds import (
    WORLD,
    read_identity,
    read_native,
    read_provenance,
    read_worlds,
)

_NAMING = "ggml"
_HEAD = "output.weight"


def open_gguf(path: Path) -> StoredModel:
    """Open a GGUF file, or a split model by any of its parts.

    Raises CorruptFileError, UnsupportedFileError and MissingFileError, as the parts of
    this package say. Keys that mean nothing to the hub are carried with their types.
    """
    return stored_model(path, Complaints())


def stored_model(path: Path, complaints: Complaints) -> StoredModel:
    """Open a file as `open_gguf` does; `complaints` says what is forgiven."""
    parts = read_parts(path, complaints)
    tensors = merged_tensors(parts)
    ledger = Ledger(path, parts[0].entries, complaints)
    config = _read_config(ledger, tensors)
    settle_layout(ledger, tensors)
    tokenizer = read_tokenizer(ledger)
    provenance = read_provenance(ledger)
    native = read_native(ledger)
    sampling = read_sampling(ledger)
    worlds = read_worlds(ledger)
    rest = ledger.rest()
    return StoredModel(
        format=WORLD,
        path=path,
        tensors=tensors,
        config=config,
        tokenizer=tokenizer,
        provenance=provenance,
        carried={WORLD: rest, **worlds} if rest else worlds,
        native=native,
        naming=_NAMING if _is_ggml(tensors) else None,
        notes=(*(note for part in parts for note in part.notes), *ledger.notes),
        fates=ledger.fates(),
        sampling=sampling,
    )


def _read_config(ledger: Ledger, names: Iterable[str]) -> ModelConfig:
    architecture = read_architecture(ledger)
    identity = read_identity(ledger, architecture)
    tie = _HEAD not in names if _is_ggml(names) else None
    prefix = hyper_prefix(ledger, architecture)
    config = read_config(ledger, prefix, token_count(ledger))
    return evolve(config, identity=identity, tie_embeddings=tie)


def _is_ggml(names: Iterable[str]) -> bool:
    """Return whether tensor names are in ggml's words."""
    return any(name == "token_embd.weight" or name.startswith("blk.") for name in names)
