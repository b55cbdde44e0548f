"""The GGUF format of ggml and llama.cpp: read in versions 2 and 3, written in 3."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from aprhub.api import (
    Encoding,
    Fault,
    Format,
    Layout,
    LayoutOptions,
    Magic,
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


GGUF = Format(
    name="gguf",
    title="GGUF",
    extensions=(".gguf",),
    magic=(Magic(b"GGUF"),),
    naming="ggml",
    namings=("ggml",),
    tokenizer_form="flat",
    open=_open,
    lay_out=_lay_out,
    encoding_for=_encoding_for,
    runnable=_runnable,
)


@hookimpl
def provide_formats() -> Iterable[Format]:
    """Return the format."""
    return (GGUF,)
