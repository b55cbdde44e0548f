"""The GGUF format of ggml and llama.cpp: read in versions 2 and 3, written in 3."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aprhub.api import (
    Encoding,
    Examined,
    Fault,
    FileEvidence,
    Format,
    Importance,
    ImportanceFormat,
    Layout,
    LayoutOptions,
    Magic,
    Restated,
    Stamp,
    StoredModel,
    Tensor,
    hookimpl,
)


def _open(path: Path) -> StoredModel:
    from aprhub_gguf.reader import open_gguf

    return open_gguf(path)


def _lay_out(stored: StoredModel, target: Path, options: LayoutOptions) -> Layout:
    from aprhub_gguf.layout import lay_out_gguf

    return lay_out_gguf(stored, target, options)


def _encoding_for(name: str, tensor: Tensor) -> Encoding:
    from aprhub_gguf.encodings import encoding_for

    return encoding_for(name, tensor)


def _runnable(stored: StoredModel) -> Sequence[Fault]:
    from aprhub_gguf.runnable import runnable_faults

    return runnable_faults(stored)


def _unheeded(stored: StoredModel) -> Sequence[str]:
    from aprhub_gguf.computing import unheeded

    return unheeded(stored)


def _metadata(path: Path) -> Mapping[str, Any]:
    from aprhub_gguf.restating import metadata

    return metadata(path)


def _restate(path: Path, stamp: Stamp, target: Path) -> Restated:
    from aprhub_gguf.restating import restate

    return restate(path, stamp, target)


def _examine(path: Path) -> Examined:
    from aprhub_gguf.health import examine_gguf

    return examine_gguf(path)


def _open_importance(path: Path) -> Importance:
    from aprhub_gguf.importance import open_importance

    return open_importance(path)


def _open_legacy(path: Path) -> Importance:
    from aprhub_gguf.legacy import open_legacy

    return open_legacy(path)


def _lay_out_importance(importance: Importance, target: Path) -> Layout:
    from aprhub_gguf.importance import lay_out_importance

    return lay_out_importance(importance, target)


def _is_gguf(evidence: FileEvidence) -> bool:
    return _MAGIC.matches(evidence.head)


def _is_legacy(evidence: FileEvidence) -> bool:
    from aprhub_gguf.legacy import looks_legacy

    return not _is_gguf(evidence) and looks_legacy(evidence)


_MAGIC = Magic(b"GGUF")

GGUF = Format(
    name="gguf",
    title="GGUF",
    extensions=(".gguf",),
    magic=(_MAGIC,),
    naming="ggml",
    namings=("ggml",),
    tokenizer_form="flat",
    open=_open,
    lay_out=_lay_out,
    encoding_for=_encoding_for,
    runnable=_runnable,
    unheeded=_unheeded,
    metadata=_metadata,
    restate=_restate,
    examine=_examine,
)


@hookimpl
def provide_formats() -> Iterable[Format]:
    """Return the format."""
    return (GGUF,)


@hookimpl
def provide_importances() -> Iterable[ImportanceFormat]:
    """Return both kinds of files that llama.cpp has for importance matrices."""
    return (
        ImportanceFormat(
            "imatrix-gguf",
            "importance matrix, GGUF",
            (".gguf",),
            "ggml",
            _is_gguf,
            _open_importance,
            _lay_out_importance,
        ),
        ImportanceFormat(
            "imatrix-dat",
            "importance matrix, before GGUF",
            (".dat",),
            "ggml",
            _is_legacy,
            _open_legacy,
        ),
    )
