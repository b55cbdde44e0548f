"""Hugging Face safetensors: a model folder, or one self-describing file."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aprhub.api import (
    Examined,
    Fault,
    Format,
    Layout,
    LayoutOptions,
    Restated,
    Stamp,
    StoredModel,
    hookimpl,
)
from aprhub_safetensors.recognition import has_structure
from aprhub_safetensors.tables import COMPANIONS, encoding_for


def _open(path: Path) -> StoredModel:
    from aprhub_safetensors.reader import open_model

    return open_model(path)


def _lay_out(stored: StoredModel, target: Path, options: LayoutOptions) -> Layout:
    from aprhub_safetensors.layout import lay_out

    return lay_out(stored, target, options)


def _runnable(stored: StoredModel) -> Sequence[Fault]:
    from aprhub_safetensors.runnable import faults

    return tuple(faults(stored))


def _unheeded(stored: StoredModel) -> Sequence[str]:
    from aprhub_safetensors.unheeded import unheeded

    return tuple(unheeded(stored))


def _metadata(path: Path) -> Mapping[str, Any]:
    from aprhub_safetensors.restating import metadata

    return metadata(path)


def _restate(path: Path, stamp: Stamp, target: Path) -> Restated:
    from aprhub_safetensors.restating import restate

    return restate(path, stamp, target)


def _examine(path: Path) -> Examined:
    from aprhub_safetensors.health import examine_model

    return examine_model(path)


SAFETENSORS = Format(
    name="safetensors",
    aliases=("hf",),
    title="Hugging Face safetensors",
    extensions=(".safetensors",),
    naming="hf",
    namings=("hf",),
    stores_tied_head=False,
    tokenizer_form="json",
    writes_folder=True,
    packings=("compressed-tensors",),
    companions=COMPANIONS,
    has_structure=has_structure,
    open=_open,
    lay_out=_lay_out,
    encoding_for=encoding_for,
    runnable=_runnable,
    unheeded=_unheeded,
    metadata=_metadata,
    restate=_restate,
    examine=_examine,
)


@hookimpl
def provide_formats() -> Iterable[Format]:
    """Return the format."""
    return (SAFETENSORS,)
