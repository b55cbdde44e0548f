"""APR v2: one file with a JSON description, a sorted tensor index and a footer."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aprhub.api import (
    Answers,
    Codec,
    Encoding,
    Examined,
    Fault,
    Format,
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
    from aprhub_apr.reader import open_apr

    return open_apr(path)


def _lay_out(stored: StoredModel, target: Path, options: LayoutOptions) -> Layout:
    from aprhub_apr.layout import lay_out

    return lay_out(stored, target, options)


def _encoding_for(name: str, tensor: Tensor) -> Encoding:
    from aprhub_apr.encodings import encoding_for

    return encoding_for(name, tensor)


def _runnable(stored: StoredModel) -> Sequence[Fault]:
    from aprhub_apr.runnable import runnable

    return runnable(stored)


def _metadata(path: Path) -> Mapping[str, Any]:
    from aprhub_apr.restating import metadata

    return metadata(path)


def _restate(path: Path, stamp: Stamp, target: Path) -> Restated:
    from aprhub_apr.restating import restate

    return restate(path, stamp, target)


def _answers(path: Path) -> Answers:
    from aprhub_apr.quality import answers

    return answers(path)


def _examine(path: Path) -> Examined:
    from aprhub_apr.health import examine_apr

    return examine_apr(path)


APR: Final = Format(
    name="apr",
    title="APR v2",
    extensions=(".apr",),
    # The other three are refused by the reader, which can say what they are.
    magic=tuple(Magic(data) for data in (b"APR\0", b"APRN", b"APR1", b"APR2")),
    naming="apr",
    namings=("hf", "ggml"),
    stores_tied_head=True,
    tokenizer_form="flat",
    open=_open,
    lay_out=_lay_out,
    encoding_for=_encoding_for,
    runnable=_runnable,
    metadata=_metadata,
    restate=_restate,
    answers=_answers,
    examine=_examine,
)


@hookimpl
def provide_formats() -> Iterable[Format]:
    """Return the one format."""
    return (APR,)


@hookimpl
def provide_codecs() -> Iterable[Codec]:
    """Return the codecs of the two encodings that only APR has."""
    from aprhub_apr.codecs import CODECS

    return CODECS
