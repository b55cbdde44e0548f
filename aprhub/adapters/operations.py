"""Merging adapters, from paths to a model in its place."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, field, frozen

from aprhub import conversion, detect, lineage
from aprhub.adapters.matching import ZERO_MATCHED, Matched, MatchOptions, matched
from aprhub.adapters.merging import ENCODINGS_OF_MERGED, KEEP, Changes, Merging
from aprhub.adapters.opening import adapter_fingerprint, open_adapter
from aprhub.adapters.reports import AdapterUse, MergeReport
from aprhub.adapters.stacking import Stacking, stacked
from aprhub.check import checked
from aprhub.conversion import Announce, Opened
from aprhub.errors import (
    AprhubError,
    ModelCheckError,
    UnrunnableError,
    UsageError,
    about,
    near_miss,
)
from aprhub.export.witness import checksum_faults
from aprhub.ir.adapter import Adapter
from aprhub.options import ConvertOptions
from aprhub.registry import Registry
from aprhub.spec.adapter import AdapterLayout, StoredAdapter

REOPENED = "FALSIFY-APR-MERGE-RUNNABLE-001"
EXTENSION = "FALSIFY-APR-MERGE-RUNNABLE-002"
GATE = "FALSIFY-APR-MERGE-RUNNABLE-003"
"""The contract's names for what a merged model has to stand."""


def _paths(values: Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:
    return tuple(map(Path, values))


@frozen
class AdapterMerge:
    """Which adapters are merged into which base, and how.

    `encoding` is that of changed tensors: `keep`, or `f16`, `bf16` or `f32`. `layout`
    names the adapters' layout instead of recognising it; `stacking` says what becomes
    of several adapters.
    """

    base: Path = field(converter=Path)
    adapters: tuple[Path, ...] = field(converter=_paths)
    match: MatchOptions = field(factory=MatchOptions)
    encoding: str = KEEP
    layout: str | None = None
    stacking: Stacking = field(factory=Stacking)

    def __attrs_post_init__(self) -> None:
        """Refuse an encoding that is none of the allowed ones, and no adapter."""
        if self.encoding not in ENCODINGS_OF_MERGED:
            allowed = ", ".join(ENCODINGS_OF_MERGED)
            near = near_miss(self.encoding, ENCODINGS_OF_MERGED)
            raise UsageError(
                f"no merged encoding is called {self.encoding!r}; choose one of"
                f" {allowed}{near}"
            )
        if not self.adapters:
            raise UsageError("give at least one adapter to merge")

    @property
    def told(self) -> dict[str, Any]:
        """What the output's lineage tells of it, besides the inputs."""
        told = {**asdict(self.stacking), **asdict(self.match)}
        return {**told, "merged_encoding": self.encoding, "layout": self.layout}


@frozen
class Fitted:
    """An adapter that was opened and matched with a base."""

    path: Path
    layout: AdapterLayout
    stored: StoredAdapter
    matched: Matched

    def use(self, weight: float = 1.0) -> AdapterUse:
        """Return what to say of it."""
        adapter = self.matched.adapter
        return AdapterUse(
            self.path,
            self.layout.name,
            len(self.stored.tensors) + len(self.stored.strangers),
            len({*adapter.changes, *adapter.replaced}),
            self.matched.alpha_from,
            weight,
            self.matched.unmatched,
            self.matched.orphans,
            (*self.stored.notes, *self.news("the merged model takes")),
        )

    def news(self, what: str) -> Iterator[str]:
        """Say what happens to the tokenizer of the adapter, if it has another one."""
        if self.matched.news:
            yield f"{what} the tokenizer beside it, which has {self.matched.news}"


def fitted(
    path: Path,
    base: Opened,
    registry: Registry,
    match: MatchOptions,
    layout: str | None,
) -> Fitted:
    """Open an adapter and match it with a base; raises what both raise.

    Raises ModelCheckError, too, where a file contradicts its own checksums.
    """
    with about(path):
        found, stored = open_adapter(path, registry, layout)
        faults = checksum_faults(stored.container.checksums)
        if faults:
            raise ModelCheckError(path, "damaged", faults)
        return Fitted(path, found, stored, matched(stored, base, registry, match))


def merged(
    request: AdapterMerge,
    target: Path,
    options: ConvertOptions,
    registry: Registry,
    announce: Announce | None = None,
) -> MergeReport:
    """Write the merged model, gated and atomically, and return what was done.

    Nothing stands under the target's name, or is changed there, unless everything
    succeeded and at least one weight was changed.
    """
    start = time.perf_counter()
    with about(request.base), _contract():
        writer = detect.target_format(target, registry, options.target_format)
        base = conversion.opened(
            request.base, registry, options.lift, options.source_format
        )
        found = _all_fitted(request, base, registry)
        merging = Merging(base, target, writer, registry, request.encoding)
        changes = merging.changes(_one(found, request.stacking))
        _refuse_nothing(base, changes)
        told = {**options.told, **request.told}
        done = _extended(base, changes, found, told, hashed=options.hash_inputs)
        report = conversion.written(done, target, options, registry, announce)
    weights = request.stacking.weights or (1.0,) * len(found)
    return MergeReport(
        evolve(report, seconds=round(time.perf_counter() - start, 3)),
        tuple(each.use(w) for each, w in zip(found, weights, strict=True)),
        len(base.stored.tensors),
        changes.merged,
        changes.replaced,
        changes.without_effect,
        changes.vanished,
        changes.notes,
    )


def applied(base: Opened, adapter: Path, registry: Registry, *, hashed: bool) -> Opened:
    """Return a base with an adapter merged into it, for what is done with it next.

    Its tensors have the encodings of the base. If `hashed`, its lineage has the hashes
    of both. Raises what a merge raises.
    """
    found = fitted(adapter, base, registry, MatchOptions(), None)
    writer = registry.format(base.stored.format)
    changes = Merging(base, adapter, writer, registry).changes(found.matched.adapter)
    _refuse_nothing(base, changes)
    done = _extended(base, changes, [found], {}, hashed=hashed)
    left = (f"{adapter}: {name} is left as it was" for name in changes.left)
    taken = found.news(f"{adapter}: the model takes")
    notes = (*done.found.notes, *changes.notes, *taken, *left)
    return evolve(done, found=evolve(done.found, notes=notes))


def _all_fitted(
    request: AdapterMerge, base: Opened, registry: Registry
) -> list[Fitted]:
    return [
        fitted(path, base, registry, request.match, request.layout)
        for path in request.adapters
    ]


def _one(found: Sequence[Fitted], stacking: Stacking) -> Adapter:
    adapters = [each.matched.adapter for each in found]
    return stacked(adapters, [each.path for each in found], stacking)


def _extended(
    base: Opened,
    changes: Changes,
    found: Sequence[Fitted],
    told: Mapping[str, Any],
    *,
    hashed: bool,
) -> Opened:
    """Return the merged model with a step in its lineage, checked once more."""
    inputs = [base.origin(hashed=hashed)]
    inputs += [
        (each.path, adapter_fingerprint(each.stored, hashed=hashed)) for each in found
    ]
    told = {**told, "layers_merged": len(changes.merged)}
    done = changes.result.extended(lineage.step("adapter merge", inputs, told))
    checked(done.found, done.stored)
    return done


def _refuse_nothing(base: Opened, changes: Changes) -> None:
    """Raise where a merge would leave the base as it is."""
    if changes.merged or changes.replaced:
        return
    if changes.vanished:
        what = (
            f"nothing to merge: the changes of all {len(changes.vanished)} tensors are"
            " less than their encodings can tell; give changed ones --merged-encoding"
            " f32"
        )
    else:
        what = (
            f"nothing to merge: all {len(changes.without_effect)} pairs have a product"
            " of zero, as those of an adapter that was never trained; take a later"
            " checkpoint"
        )
    error = ModelCheckError(base.stored.path, what)
    error.add_note(ZERO_MATCHED)
    raise error


@contextmanager
def _contract() -> Iterator[None]:
    """Put the contract's name on errors of the target and its gate."""
    try:
        yield
    except UsageError as error:
        if "extension" in str(error):
            error.add_note(EXTENSION)
        raise
    except UnrunnableError as error:
        unreadable = isinstance(error.__cause__, AprhubError)
        error.add_note(REOPENED if unreadable else GATE)
        raise
