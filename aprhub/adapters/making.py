"""Adapters out: converted from other layouts, or extracted from a model."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen

from aprhub import conversion
from aprhub.adapters.extraction import AdapterExtraction, Extracted, extracted
from aprhub.adapters.matching import MatchOptions
from aprhub.adapters.merging import described
from aprhub.adapters.operations import Fitted, fitted
from aprhub.adapters.stacking import Stacking, stacked
from aprhub.adapters.writing import AdapterWriter, WriteOptions
from aprhub.conversion import Announce
from aprhub.errors import UsageError, about
from aprhub.ir.adapter import Adapter
from aprhub.lift import LiftOptions
from aprhub.registry import Registry
from aprhub.report import SCHEMA, WrittenFile
from aprhub.spec.adapter import AdapterLayout


def _paths(values: Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:
    return tuple(map(Path, values))


@frozen
class AdapterConversion:
    """Which adapters become one in another layout, and for which base.

    `layout` names the layout that is written, `from_layout` that of the adapters
    instead of recognising it.
    """

    base: Path = field(converter=Path)
    adapters: tuple[Path, ...] = field(converter=_paths)
    layout: str | None = None
    from_layout: str | None = None
    match: MatchOptions = field(factory=MatchOptions)
    stacking: Stacking = field(factory=Stacking)


@frozen
class AdapterReport:
    """What adapter was written.

    `changes` maps canonical names of weights to their change in a few words.
    """

    target: Path
    layout: str
    files: tuple[WrittenFile, ...]
    changes: Mapping[str, str]
    replaced: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-like data."""
        files = [asdict(file) for file in self.files]
        own = asdict(self, recurse=False)
        return {"schema": SCHEMA, **own, "target": str(self.target), "files": files}


def converted(
    request: AdapterConversion,
    target: Path,
    options: WriteOptions,
    registry: Registry,
    announce: Announce | None = None,
) -> AdapterReport:
    """Write adapters as one in a layout; raises an AprhubError as a merge does."""
    layout = target_layout(target, registry, request.layout)
    with about(request.base):
        base = conversion.opened(request.base, registry, LiftOptions())
        found = [
            fitted(path, base, registry, request.match, request.from_layout)
            for path in request.adapters
        ]
        adapters = [each.matched.adapter for each in found]
        adapter = stacked(adapters, request.adapters, request.stacking)
        writer = AdapterWriter(base, layout, registry, options, announce)
        return _written(writer, adapter, target, tuple(_left_out(found)))


def extraction(
    request: AdapterExtraction,
    target: Path,
    options: WriteOptions,
    registry: Registry,
    announce: Announce | None = None,
) -> AdapterReport:
    """Write the difference of two models as an adapter in a layout.

    What is announced is what there is to compare, which takes longer than to write.
    """
    layout = target_layout(target, registry, request.layout)
    base = conversion.opened(request.base, registry, LiftOptions())
    tuned = conversion.opened(request.tuned, registry, LiftOptions())
    found = extracted(base, tuned, request, announce)
    writer = AdapterWriter(base, layout, registry, options)
    return _written(writer, found.adapter, target, tuple(_missing(found)))


def target_layout(
    target: Path, registry: Registry, wanted: str | None
) -> AdapterLayout:
    """Return the layout to write: the one asked for, or the only one the name fits.

    Raises UsageError where the name fits several or none.
    """
    if wanted:
        return registry.adapter_layout(wanted)
    able = [each.value for each in registry.adapter_layouts if each.value.lay_out]
    suffix = target.suffix.lower()
    fitting = [
        each
        for each in able
        if bool(each.files) is not bool(suffix)
        and (not suffix or suffix in registry.format(each.format).extensions)
    ]
    if len(fitting) != 1:
        names = ", ".join(sorted(each.name for each in fitting or able))
        raise UsageError(f"{target}: say the layout with --to, one of {names}")
    return fitting[0]


def _written(
    writer: AdapterWriter, adapter: Adapter, target: Path, notes: tuple[str, ...]
) -> AdapterReport:
    files, more = writer.written(adapter, target)
    return AdapterReport(
        target,
        writer.layout.name,
        files,
        {name: described(change) for name, change in adapter.changes.items()},
        adapter.replaced,
        (*notes, *more),
        writer.options.dry_run,
    )


def _left_out(found: Sequence[Fitted]) -> Iterator[str]:
    for each in found:
        for fault in (*each.matched.unmatched, *each.matched.orphans):
            yield f"left out: {fault}"
        yield from each.news("left out:")


def _missing(found: Extracted) -> Iterator[str]:
    worst = max(found.missing, key=lambda name: found.missing[name])
    share = found.missing[worst]
    yield f"the rank misses up to {share:.2g} of a change's norm, most of {worst}"
    for name in found.left_out:
        yield f"left out: {name} is changed and no matrix"
