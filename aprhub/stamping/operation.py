"""Stamp: open, restate, lay out, commit, gate; the tensors are copied or left alone."""

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
from attrs import evolve, frozen

from aprhub import detect
from aprhub.errors import (
    Fault,
    ModelCheckError,
    UnrunnableError,
    UsageError,
    about,
)
from aprhub.export import commit, gate
from aprhub.export.staging import Staging, refuse_existing, staged
from aprhub.export.witness import Witness
from aprhub.ir.config import ModelConfig
from aprhub.ir.tokenizer import Tokenizer
from aprhub.manifest import model_files
from aprhub.registry import Registry
from aprhub.report import WrittenFile
from aprhub.spec.format import Format, StoredModel
from aprhub.spec.layout import Layout
from aprhub.spec.stamp import Restated, Stamp
from aprhub.stamping.judging import (
    Verdict,
    judged,
    require_licenses,
    require_no_worse,
    same_but_origin,
)
from aprhub.stamping.options import StampOptions
from aprhub.stamping.report import KeyChange, StampReport, changed
from aprhub.stamping.tokenizers import tokenizer_of

_PIECE_BYTES = 1 << 22


def stamp(
    source: Path, target: Path | None, options: StampOptions, registry: Registry
) -> StampReport:
    """Write a model again with other metadata; without a target, in its own place.

    Tensors keep their names, encodings and bytes. Raises UsageError for what cannot
    be set, UnrepresentableError for what the format cannot say, UnrunnableError for
    what contradicts the tensors; then nothing was written.
    """
    start = time.perf_counter()
    with about(source):
        report = _Stamping.of(source, target, options, registry).report()
    return evolve(report, seconds=round(time.perf_counter() - start, 3))


@frozen
class _Stamping:
    source: Path
    target: Path
    options: StampOptions
    registry: Registry
    format: Format
    metadata: Callable[[Path], Mapping[str, Any]]
    restate: Callable[[Path, Stamp, Path], Restated]
    keys: Mapping[str, Any]
    stored: StoredModel
    sizes: Mapping[Path, int]
    replaces: bool

    @classmethod
    def of(
        cls, source: Path, target: Path | None, options: StampOptions, plugins: Registry
    ) -> "_Stamping":
        fmt = detect.identify(source, plugins, options.source_format)
        if fmt.restate is None or fmt.metadata is None:
            raise UsageError(
                f"{source}: the plugin of {fmt.name} cannot stamp; convert the model to"
                " another format first"
            )
        if target is not None:
            detect.target_format(target, plugins, fmt.name)
        stored = fmt.opened(source)
        return cls(
            source,
            target or source,
            options,
            plugins,
            fmt,
            fmt.metadata,
            fmt.restate,
            fmt.metadata(source),
            stored,
            {path: path.stat().st_size for path in model_files(stored)},
            replaces=target is None,
        )

    @property
    def in_place(self) -> bool:
        return self.target.absolute() == self.source.absolute()

    def report(self) -> StampReport:
        wanted = self._stamp()
        restated = self.restate(self.source, wanted, self.target)
        told = partial(self._said, changed(self.keys, restated.keys))
        if self.in_place and restated.keys == self.keys:
            return told(evolve(restated, layout=Layout(())), [_UNCHANGED])
        if not (self.options.force or self.replaces):
            folder = restated.layout.folder
            refuse_existing(self.target, _names(restated.layout), is_folder=folder)
        if not self.options.dry_run:
            return told(restated, *self._written(restated, self.target))
        place = Path(gettempdir()) / self.target.name
        whole = self.restate(self.source, wanted, place)
        return told(restated, *self._written(whole, place))

    def _stamp(self) -> Stamp:
        options = self.options
        return Stamp(
            options.provenance,
            options.identity,
            self._tokenizer(),
            options.chat_template,
            options.settings,
            options.unset,
        )

    def _tokenizer(self) -> Tokenizer | None:
        if self.options.tokenizer is None:
            return None
        rows = self._verdict(self.stored).rows or self.stored.config.vocab_size
        form = self.format.tokenizer_form
        return tokenizer_of(self.options.tokenizer, form, rows, self.registry)

    def _written(
        self, restated: Restated, place: Path
    ) -> tuple[Sequence[str], str | None]:
        """Write, judge and put in place; return notes, and a digest of the tensors."""
        layout = restated.layout
        witness = Witness.of(self.stored.checksums, layout)
        with (
            staged(place, is_folder=layout.folder) as staging,
            commit.Writing(layout, staging) as writing,
        ):
            writing.outline()
            first = _first_file(layout, staging)
            if self._joins_others(layout):
                self._refuse_links()
                staging.bring((*restated.gone, *_names(layout)))
            notes = self._judge(first, restated)
            digest = None
            if not self.options.dry_run:
                writing.fill(witness=witness)
                witness.read_rest()
                writing.settle()
                self._refuse_damaged(witness)
                digest = self._verified(first)
                self._publish(staging, restated)
        return notes, digest

    def _joins_others(self, layout: Layout) -> bool:
        """Return whether files that are not written belong to the output."""
        return layout.folder and self.in_place and not self.options.dry_run

    def _refuse_links(self) -> None:
        links = [each.name for each in self.source.iterdir() if each.is_symlink()]
        if links:
            raise UsageError(
                f"{self.source}: {links[0]} is a link, as in a hub's cache; write a"
                " copy with -o"
            )

    def _judge(self, first: Path, restated: Restated) -> list[str]:
        """Open what is written so far, which is all but the tensors."""
        meant = evolve(self.stored, path=self.target, config=ModelConfig())
        said = self.options.settings or self.options.unset
        repair = "give --set and --unset what readers take" if said else None
        found = gate.reopened(first, self.format, meant, repair)
        self._require_said(first, restated.keys)
        require_licenses(self.stored, found)
        if same_but_origin(self.stored, found):
            return []
        # Those of the output are not written yet, and will be the source's.
        after = evolve(found, tensors=self.stored.tensors)
        verdicts = (self._verdict(self.stored), self._verdict(after))
        return require_no_worse(*verdicts, self.registry)

    def _verdict(self, stored: StoredModel) -> Verdict:
        return judged(stored, self.format, self.registry)

    def _require_said(self, first: Path, meant: Mapping[str, Any]) -> None:
        again = self.metadata(first)
        problem = "reads back as something else"
        repair = f"report it to the author of the plugin of {self.format.name}"
        faults = [Fault(each.key, problem, repair) for each in changed(again, meant)]
        if faults:
            what = "the written metadata are not what was meant"
            raise UnrunnableError(self.target, what, faults)

    def _refuse_damaged(self, witness: Witness) -> None:
        faults = witness.faults()
        if faults:
            what = "damaged; a stamp would hide it behind a new checksum"
            raise ModelCheckError(self.source, what, faults)

    def _verified(self, first: Path) -> str | None:
        """Return a digest of all tensors, of which the output has the same."""
        if not self.options.verify:
            return None
        before, after = digest(self.stored), digest(self.format.opened(first))
        if before != after:
            raise UnrunnableError(
                self.target,
                f"the tensors were {before} and would be {after}; report it to the"
                f" author of the plugin of {self.format.name}",
            )
        return before

    def _publish(self, staging: Staging, restated: Restated) -> None:
        names = _names(restated.layout)
        if self.in_place and not restated.layout.folder:
            for name in names:
                _keep_mode(self.target.parent / name, staging.path(name))
        owned = restated.gone if self.in_place else self.format.companions
        staging.publish(names, owned)

    def _said(
        self,
        changes: tuple[KeyChange, ...],
        restated: Restated,
        notes: Sequence[str],
        digest: str | None = None,
    ) -> StampReport:
        layout, tensors = restated.layout, self.stored.tensors.values()
        parent = self.target if layout.folder else self.target.parent
        files = [WrittenFile(str(parent / e.name), e.nbytes) for e in layout.files]
        written = sum(each.nbytes for each in files)
        return StampReport(
            self.source,
            self.target,
            self.format.name,
            changes,
            tuple(files),
            len(tensors),
            sum(each.nbytes for each in tensors),
            digest,
            (*self.stored.notes, *notes),
            self.options.dry_run,
            input_bytes=sum(self.sizes.values()),
            output_bytes=written + self._left_alone(restated),
            flags=restated.flags,
        )

    def _left_alone(self, restated: Restated) -> int:
        """Return the bytes of the files that a stamp in place does not write."""
        written = {*_names(restated.layout), *restated.gone}
        if not self.in_place:
            return 0
        return sum(n for path, n in self.sizes.items() if path.name not in written)


_UNCHANGED = "the file says so already; nothing was written"


def _names(layout: Layout) -> list[str]:
    return [file.name for file in layout.files]


def _first_file(layout: Layout, staging: Staging) -> Path:
    return staging.opened if layout.folder else staging.path(layout.files[-1].name)


def _keep_mode(old: Path, new: Path) -> None:
    if old.exists():
        shutil.copymode(old, new)


def digest(stored: StoredModel) -> str:
    """Return a SHA-256 over the bytes of all tensors, in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(stored.tensors):
        tensor = stored.tensors[name]
        for start, length in tensor.chunks(_PIECE_BYTES):
            piece = np.empty(length, np.uint8)
            tensor.read_into(start, piece)
            found.update(piece.data)
    return found.hexdigest()
