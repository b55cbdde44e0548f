"""Opens an adapter: the container by its format, its meaning by its layout."""

from collections.abc import Iterator
from pathlib import Path

from attrs import evolve

from aprhub import detect, lineage
from aprhub.errors import (
    AmbiguousFormatError,
    MissingFileError,
    UnknownFormatError,
    UnsupportedFileError,
)
from aprhub.ir.model import ModelIR
from aprhub.lift import decodable
from aprhub.registry import Registry
from aprhub.spec.adapter import AdapterLayout, StoredAdapter
from aprhub.spec.format import StoredModel


def open_adapter(
    path: Path, registry: Registry, wanted: str | None = None
) -> tuple[AdapterLayout, StoredAdapter]:
    """Open an adapter's file or folder; return its layout and what it holds.

    `wanted` names a layout instead of recognising it. Raises UnknownFormatError when no
    layout recognises it, AmbiguousFormatError when several do.
    """
    layouts = [each.value for each in registry.adapter_layouts]
    if wanted:
        layouts = [registry.adapter_layout(wanted)]
    found = [
        (layout, container)
        for layout, container in _candidates(path, layouts, registry)
        if wanted or layout.recognises(container)
    ]
    if not found:
        raise _unknown(path, layouts)
    if len(found) > 1:
        named = " and ".join(layout.name for layout, _ in found)
        what = f"recognised equally well as {named}; choose one with --layout"
        raise AmbiguousFormatError(path, what)
    layout, container = found[0]
    container = evolve(container, tensors=decodable(container.tensors, registry))
    return layout, layout.open(container)


def adapter_fingerprint(stored: StoredAdapter, *, hashed: bool) -> str:
    """Return what tells an adapter from others in a lineage.

    That is a fingerprint of its table, or if `hashed` the hash of its tensors under the
    names that they have in the file.
    """
    container = stored.container
    if not hashed:
        return lineage.fingerprint(container)
    return lineage.model_fingerprint(ModelIR(container.config, container.tensors))


def _candidates(
    path: Path, layouts: list[AdapterLayout], registry: Registry
) -> Iterator[tuple[AdapterLayout, StoredModel]]:
    """Yield the containers that may hold the adapter, each opened once."""
    opened: dict[Path, StoredModel] = {}
    for layout in layouts:
        file = _file(path, layout)
        if file is None:
            continue
        if file not in opened:
            opened[file] = detect.identify(file, registry).opened(file)
        if opened[file].format == layout.format:
            yield layout, opened[file]


def _file(path: Path, layout: AdapterLayout) -> Path | None:
    if not path.exists():
        what = "there is no such file or folder; give the path of an adapter"
        raise MissingFileError(path, what)
    if not path.is_dir():
        return path
    there = (path / name for name in layout.files)
    return next((file for file in there if file.is_file()), None)


def _unknown(
    path: Path, layouts: list[AdapterLayout]
) -> UnknownFormatError | UnsupportedFileError:
    if path.is_dir() and (path / "adapter_model.bin").is_file():
        what = (
            "adapter_model.bin is a Python pickle, which may run code when it is"
            " loaded; save the adapter as safetensors where you trust it"
        )
        return UnsupportedFileError(path, what)
    known = "; ".join(f"{each.name}: {each.title}" for each in layouts)
    what = (
        f"not recognised as an adapter (known layouts: {known or 'none'}); if it is"
        " one, name its layout with --layout"
    )
    return UnknownFormatError(path, what)
