"""Writes an adapter in a layout: atomically, and opened again before it is in place."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from attrs import evolve, field, frozen

from aprhub import detect
from aprhub.adapters.lowering import Lowering
from aprhub.adapters.matching import Matched, MatchOptions, matched
from aprhub.adapters.opening import open_adapter
from aprhub.adapters.rows import same_rows
from aprhub.adapters.vocabulary import grows
from aprhub.conversion import Announce, Opened
from aprhub.errors import Fault, UnrepresentableError, UnrunnableError, UsageError
from aprhub.export import commit
from aprhub.export.staging import refuse_existing, staged
from aprhub.ir.adapter import Adapter
from aprhub.ir.casting import widens
from aprhub.ir.encoding import F32
from aprhub.ir.lowrank import LowRank
from aprhub.ir.tensor import Tensor
from aprhub.registry import Registry
from aprhub.report import WrittenFile
from aprhub.spec.adapter import AdapterFiles, AdapterLayout
from aprhub.spec.format import Format
from aprhub.spec.layout import Layout, LayoutFile, LayoutOptions, Literal, TensorData

TOLERANCE = 1e-6
"""How far a scaled B may be from what was meant: layouts keep alpha as an f32."""


@frozen
class WriteOptions:
    """How an adapter is written: `force` replaces what is there."""

    force: bool = False
    dry_run: bool = False


@frozen
class AdapterWriter:
    """Writes adapters that fit a base, in one layout."""

    base: Opened
    layout: AdapterLayout
    registry: Registry
    options: WriteOptions = field(factory=WriteOptions)
    announce: Announce | None = None

    def written(
        self, adapter: Adapter, target: Path
    ) -> tuple[tuple[WrittenFile, ...], tuple[str, ...]]:
        """Write an adapter in canonical names; return its files and notes.

        Raises UnrepresentableError for what the layout has no form for, UnrunnableError
        when what was written reads back as something else.
        """
        files = self._files(adapter, target)
        layout = composed(files, self._format(target), target)
        names = [file.name for file in layout.files]
        if not self.options.force:
            refuse_existing(target, names, is_folder=layout.folder)
        if not self.options.dry_run:
            self._commit(layout, adapter, target)
        parent = target if layout.folder else target.parent
        made = (WrittenFile(str(parent / f.name), f.nbytes) for f in layout.files)
        return tuple(made), files.notes

    def _format(self, target: Path) -> Format:
        if self.layout.files:
            return self.registry.format(self.layout.format)
        return detect.target_format(target, self.registry, self.layout.format)

    def _files(self, adapter: Adapter, target: Path) -> AdapterFiles:
        family = self.base.found.family
        if self.layout.lay_out is None or family is None:
            raise UsageError(
                f"layout {self.layout.name} is only read, not written; choose another,"
                " such as peft"
            )
        if grows(adapter, self.base.found.model):
            what = (
                "an adapter with new tokens can be merged, and not converted; merge it"
                " with 'aprhub adapter merge'"
            )
            raise UnrepresentableError(target, what)
        naming = self.registry.naming(self.layout.naming)
        named = Lowering(self.base, family, naming).named(adapter)
        files = self.layout.lay_out(named, family, target)
        fmt = self._format(target)
        tensors = {
            name: _stored(name, tensor, fmt, target)
            for name, tensor in files.container.tensors.items()
        }
        return evolve(files, container=evolve(files.container, tensors=tensors))

    def _commit(self, layout: Layout, adapter: Adapter, target: Path) -> None:
        names = [file.name for file in layout.files]
        with (
            staged(target, is_folder=layout.folder) as staging,
            commit.Writing(layout, staging) as writing,
        ):
            writing.outline()
            writing.fill(self.announce(layout.bulk) if self.announce else None)
            writing.settle()
            place = staging.opened if layout.folder else staging.path(names[-1])
            _, stored = open_adapter(place, self.registry, self.layout.name)
            found = matched(stored, self.base, self.registry, MatchOptions())
            faults = [*_differences(adapter, found, self.layout.name)]
            if faults:
                what = "the written adapter is not what was meant"
                raise UnrunnableError(target, what, faults)
            staging.publish(names, names)


def composed(files: AdapterFiles, fmt: Format, target: Path) -> Layout:
    """Return where every byte goes: the container as its format has it, and texts.

    What a format would write for a model besides its tensors is left out.
    """
    if fmt.lay_out is None:
        what = f"{fmt.name} is only read, not written; choose another layout"
        raise UsageError(what)
    # Without an extension, a format that has folders puts its texts beside the tensors.
    place = target.with_suffix("") if fmt.writes_folder else target
    layout = fmt.lay_out(files.container, place, LayoutOptions())
    holders = [file for file in layout.files if _holds_tensors(file)]
    container = evolve(holders[0], name=files.file or target.name)
    texts = (
        LayoutFile(name, (Literal(text.encode()),))
        for name, text in files.texts.items()
    )
    return Layout((*texts, container), folder=files.file is not None)


def _holds_tensors(file: LayoutFile) -> bool:
    return any(isinstance(segment, TensorData) for segment in file.segments)


def _stored(name: str, tensor: Tensor, fmt: Format, target: Path) -> Tensor:
    """Return a tensor in an encoding that a format has; a wider one where needed."""
    wanted = fmt.encoding_for(name, tensor)
    if wanted == tensor.encoding:
        return tensor
    plain = tensor.decoded()
    if not widens(plain.encoding, wanted):
        raise UnrepresentableError(
            target,
            f"{name}: {fmt.name} has no encoding for {tensor.encoding.name}; choose"
            " another layout",
        )
    return plain.cast(wanted)


def _differences(meant: Adapter, found: Matched, layout: str) -> Iterator[Fault]:
    """Compare what was written with what was meant, in values."""
    other, repair = found.adapter, f"report it to the author of the layout {layout}"
    for name in sorted(meant.changes.keys() ^ other.changes.keys()):
        yield Fault(name, "changed in only one of both", repair)
    for name in sorted(meant.replacements.keys() ^ other.replacements.keys()):
        yield Fault(name, "replaced in only one of both", repair)
    for name in sorted({*meant.rows, *other.rows}):
        if not same_rows(meant.rows.get(name), other.rows.get(name)):
            yield Fault(name, "has other rows in one of both", repair)
    for name in sorted(meant.changes.keys() & other.changes.keys()):
        if not _is_same(meant.changes[name], other.changes[name]):
            yield Fault(name, "reads back as another change", repair)


def _is_same(one: LowRank, other: LowRank) -> bool:
    if not _close(one.a, other.a, 1.0):
        return False
    ratio = other.scale / one.scale if one.scale else math.nan
    return _close(one.b, other.b, ratio)


def _close(one: Tensor, other: Tensor, ratio: float) -> bool:
    """Return whether one is the other times a factor."""
    left, right = one.cast(F32).numpy(), other.cast(F32).numpy() * np.float32(ratio)
    largest = float(np.abs(left).max(initial=0))
    close = np.allclose(left, right, TOLERANCE, TOLERANCE * largest)
    return left.shape == right.shape and bool(close)
