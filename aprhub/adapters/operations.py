"""The operations on adapters, from paths to files in place."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from aprhub import conversion, detect, lineage
from aprhub.adapters.matching import (
    ZERO_MATCHED,
    Matched,
    MatchOptions,
    matched,
)
from aprhub.adapters.merging import ENCODINGS_OF_MERGED, KEEP, Changes, Merging
from aprhub.adapters.opening import open_adapter
from aprhub.adapters.reports import AdapterUse, MergeReport
from aprhub.check import checked
from aprhub.conversion import Announce, Opened
from aprhub.errors import (
    AprhubError,
    ModelCheckError,
    UnrunnableError,
    UsageError,
    about,
)
from aprhub.options import ConvertOptions
from aprhub.registry import Registry
from aprhub.spec.adapter import StoredAdapter

REOPENED = "FALSIFY-APR-MERGE-RUNNABLE-001"
EXTENSION = "FALSIFY-APR-MERGE-RUNNABLE-002"
GATE = "FALSIFY-APR-MERGE-RUNNABLE-003"
"""The contract's names for what a merged model has to stand."""


@frozen
class MergeOptions:
    """What a user may ask of a merge of adapters, besides how to write it.

    `layout` names the adapters' layout instead of recognising it. `encoding` is that of
    changed tensors: `keep`, or `f16`, `bf16` or `f32`.
    """

    match: MatchOptions = MatchOptions()
    encoding: str = KEEP
    layout: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse an encoding that is none of the allowed ones."""
        if self.encoding not in ENCODINGS_OF_MERGED:
            allowed = ", ".join(ENCODINGS_OF_MERGED)
            raise UsageError(f"merged encoding {self.encoding!r} is none of {allowed}")


@frozen
class Merge:
    """A merge of adapters into a base: from which files, with which plugins."""

    base: Path
    adapters: Sequence[Path]
    options: MergeOptions
    registry: Registry

    def written(
        self, target: Path, options: ConvertOptions, announce: Announce | None = None
    ) -> MergeReport:
        """Write the merged model, gated and atomically, and return what was done.

        Nothing stands under the target's name, or is changed there, unless everything
        succeeded and at least one weight was changed.
        """
        start = time.perf_counter()
        with about(self.base), _contract():
            writer = detect.target_format(target, self.registry, options.target_format)
            base = conversion.opened(
                self.base, self.registry, options.lift, options.source_format
            )
            found = [self._matched(path, base) for path in self.adapters]
            merging = Merging(
                base, target, writer, self.registry, self.options.encoding
            )
            changes = merging.changes(found[0][1].adapter)
            _refuse_nothing(base, changes)
            done = _extended(base, changes, [each for each, *_ in found], options)
            report = conversion.written(done, target, options, self.registry, announce)
        made = MergeReport(
            report,
            tuple(use for *_, use in found),
            len(base.stored.tensors),
            changes.merged,
            changes.replaced,
            changes.without_effect,
            changes.notes,
        )
        return made.timed(round(time.perf_counter() - start, 3))

    def _matched(
        self, path: Path, base: Opened
    ) -> tuple[StoredAdapter, Matched, AdapterUse]:
        with about(path):
            layout, stored = open_adapter(path, self.registry, self.options.layout)
            fit = matched(stored, base, self.registry, self.options.match)
        use = AdapterUse(
            path,
            layout.name,
            len(stored.tensors) + len(stored.strangers),
            len({*fit.adapter.changes, *fit.adapter.replacements}),
            fit.alpha_from,
            unmatched=fit.unmatched,
            orphans=fit.orphans,
            notes=stored.notes,
        )
        return stored, fit, use


def _extended(
    base: Opened,
    changes: Changes,
    adapters: Sequence[StoredAdapter],
    options: ConvertOptions,
) -> Opened:
    """Return the merged model with a step in its lineage, checked once more."""
    inputs = [base.stored, *(each.container for each in adapters)]
    told = {**options.told, "layers_merged": len(changes.merged)}
    done = changes.result.extended(lineage.step("adapter merge", inputs, told))
    checked(done.found, done.stored)
    return done


def _refuse_nothing(base: Opened, changes: Changes) -> None:
    """Raise where a merge would leave the base as it is."""
    if not (changes.merged or changes.replaced):
        count = len(changes.without_effect)
        error = ModelCheckError(
            base.stored.path,
            f"nothing to merge: all {count} pairs have a product of zero, as those of"
            " an adapter that was never trained",
        )
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
