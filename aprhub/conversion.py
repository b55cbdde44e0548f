"""Convert: open, lift, check, lower, lay out, commit, gate."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import gettempdir

from attrs import evolve, frozen

from aprhub import detect, lineage
from aprhub.check import checked, unrunnable
from aprhub.errors import Fault, ModelCheckError, UnrunnableError, UsageError, about
from aprhub.export import commit, gate
from aprhub.export.copying import Copier, copying
from aprhub.export.journal import plan_key
from aprhub.export.staging import Staging, refuse_existing, staged
from aprhub.export.witness import Witness
from aprhub.ir.model import LineageStep, ModelIR
from aprhub.lift import KEEP, Lifted, LiftOptions, decodable, lifted
from aprhub.lower import Lowered, lowered
from aprhub.options import ConvertOptions
from aprhub.registry import Registry
from aprhub.report import Report, WrittenFile
from aprhub.spec.format import Format, StoredModel
from aprhub.spec.layout import Layout, LayoutOptions
from aprhub.tokenizer.document import forget_parsed, parsing_once
from aprhub.unpacking import prepared

Announce = Callable[[int], commit.Progress]
"""Is told the bytes to come, and returns what is told of each part written."""


def convert(
    source: Path,
    target: Path,
    options: ConvertOptions,
    registry: Registry,
    announce: Announce | None = None,
) -> Report:
    """Convert one model file or folder into another.

    Nothing stands under the target's name, or is changed there, unless everything
    succeeded. Raises an AprhubError that names the cause and the repair.
    """
    start = time.perf_counter()
    with about(source):
        report = _converted(source, target, options, registry, announce)
    return evolve(report, seconds=round(time.perf_counter() - start, 3))


def _converted(
    source: Path,
    target: Path,
    options: ConvertOptions,
    registry: Registry,
    announce: Announce | None,
) -> Report:
    given = opened(source, registry, options.lift, options.source_format)
    origin = given.origin(hashed=options.hash_inputs)
    step = lineage.step("convert", [origin], options.told)
    return written(given.extended(step), target, options, registry, announce)


@frozen
class Opened:
    """A source as its file has it, and the canonical model of it, checked."""

    stored: StoredModel
    found: Lifted

    def extended(self, step: LineageStep) -> "Opened":
        """Return the same with one more step in the lineage of the model."""
        model = self.found.model
        provenance = model.provenance.extended(step)
        original = provenance.original_format or self.stored.format
        provenance = evolve(provenance, original_format=original)
        return self.changed(evolve(model, provenance=provenance))

    def origin(self, *, hashed: bool) -> tuple[Path, str]:
        """Return the path and what tells this model from others in a lineage.

        That is a fingerprint of its table, or if `hashed` the hash of the model.
        """
        if hashed:
            return self.stored.path, lineage.model_fingerprint(self.found.model)
        return self.stored.path, lineage.fingerprint(self.stored)

    def changed(self, model: ModelIR) -> "Opened":
        """Return the same source with another model made of it."""
        return evolve(self, found=evolve(self.found, model=model))


def opened(
    source: Path,
    registry: Registry,
    options: LiftOptions,
    source_format: str | None = None,
) -> Opened:
    """Open a model, bring it into canonical form and check it against its family."""
    stored = detect.identify(source, registry, source_format).opened(source)
    stored = prepared(stored, registry, options.naming)
    return Opened(stored, checked(lifted(stored, registry, options), stored))


def written(
    given: Opened,
    target: Path,
    options: ConvertOptions,
    registry: Registry,
    announce: Announce | None = None,
) -> Report:
    """Lower, lay out, commit and gate a model; return what was done."""
    writer = detect.target_format(target, registry, options.target_format)
    given = _weighed(given, options, registry)
    tensors = given.found.model.tensors
    with copying(tensors, options.copiers) as copier, parsing_once():
        ready = lowered(given.found, target, writer, registry, options.lower)
        return _Saving(writer, options, registry, announce, copier).report(given, ready)


def _weighed(given: Opened, options: ConvertOptions, registry: Registry) -> Opened:
    """Return a model with the importance matrix that the options name, if any."""
    if options.imatrix is None:
        return given
    from aprhub.importance import weighed

    path, lossy = options.imatrix, options.lossy
    return evolve(given, found=weighed(given.found, path, registry, lossy=lossy))


def open_model(
    path: Path, registry: Registry, options: LiftOptions | None = None
) -> ModelIR:
    """Open a model and return it in canonical form, checked against its family."""
    with about(path):
        return opened(path, registry, options or LiftOptions()).found.model


def save_model(
    model: ModelIR,
    target: Path,
    options: ConvertOptions,
    registry: Registry,
    announce: Announce | None = None,
) -> Report:
    """Write a canonical model, gated and atomically, as `convert` does."""
    family = registry.family(model.config.family) if model.config.family else None
    model = evolve(model, tensors=decodable(model.tensors, registry))
    found = Lifted(model, family, {name: name for name in model.tensors})
    stored = StoredModel("memory", Path("memory"), model.tensors, model.config)
    given = Opened(stored, checked(found, stored))
    return written(given, target, options, registry, announce)


def _refuse_broken_program(found: Lifted, ready: Lowered) -> None:
    """Raise if a `tokenizer.json` that is passed on contradicts itself or the model."""
    before, after = found.model.tokenizer, ready.stored.tokenizer
    if found.family and before and after and after.has_json:
        from aprhub.tokenizer import refuse_broken_program

        refuse_broken_program(before, after, ready.stored.config.vocab_size)
        forget_parsed()


@frozen
class _Saving:
    """The second half of the road: from a lowered model to files in place."""

    format: Format
    options: ConvertOptions
    registry: Registry
    announce: Announce | None
    copier: Copier | None

    def report(self, given: Opened, ready: Lowered) -> Report:
        stored, found = given.stored, given.found
        layout = self._layout(ready.stored)
        witness = Witness.of(stored.checksums, layout)
        faults, news = self._written(given, layout, witness, ready)
        notes = (*stored.notes, *found.notes, *ready.notes, *_unjudged(found))
        return Report(
            stored.path,
            ready.stored.path,
            stored.format,
            self.format.name,
            found.family.name if found.family else None,
            ready.stored.naming or KEEP,
            ready.fates,
            stored.fates,
            tuple(_files(layout, ready.stored.path)),
            (*notes, *news),
            ready.losses.found(),
            tuple(map(str, faults)),
            None if self.options.dry_run else self.options.verify,
            self.options.dry_run,
        )

    def _layout(self, stored: StoredModel) -> Layout:
        if self.format.lay_out is None:
            raise UsageError(
                f"{self.format.name} is only read, not written; choose another format"
                " with --to"
            )
        options = LayoutOptions(self.options.shard_size)
        layout = self.format.lay_out(stored, stored.path, options)
        if not self.options.force:
            names = [file.name for file in layout.files]
            refuse_existing(stored.path, names, is_folder=layout.folder)
        return layout

    def _written(
        self,
        given: Opened,
        layout: Layout,
        witness: Witness,
        ready: Lowered,
    ) -> tuple[Sequence[Fault], Sequence[str]]:
        """Write and gate a layout; return what was found and allowed, and notes.

        The outline is made and judged while the tensors are being written, so that
        neither is waited for. A dry run makes the outline elsewhere and stops there.
        """
        notes: tuple[str, ...] = ()
        target = ready.stored.path
        place = Path(gettempdir()) / target.name if self.options.dry_run else target
        key = plan_key(layout, self.options.told) if self.options.resume else None
        with (
            staged(place, is_folder=layout.folder, key=key) as staging,
            commit.Writing(layout, staging, key is not None, self.copier) as writing,
        ):
            first = _first_file(layout, staging)
            if not self.options.dry_run:
                progress = self.announce(layout.bulk) if self.announce else None
                writing.fill(progress, self.options.workers, witness)
            _refuse_broken_program(given.found, ready)
            writing.outline()
            if not self.options.dry_run:
                witness.read_rest()
            faults = self._judged(first, ready.stored)
            if not self.options.dry_run:
                writing.settle()
                notes = self._damage(given.stored.path, witness)
                self._verify(first, given.found)
                names = [file.name for file in layout.files]
                staging.publish(names, self.format.companions)
        return faults, (*notes, *_resumed(writing.resumed))

    def _damage(self, source: Path, witness: Witness) -> tuple[str, ...]:
        """Return what a source's own checksums contradict; raise unless allowed."""
        faults = witness.faults()
        if faults and not self.options.allow_damaged:
            what = "damaged; --allow-damaged converts what is there all the same"
            raise ModelCheckError(source, what, faults)
        return tuple(f"damaged, and converted as it is: {each}" for each in faults)

    def _judged(self, first: Path, meant: StoredModel) -> Sequence[Fault]:
        """Return what would keep the model from running; raise unless allowed."""
        found = gate.reopened(first, self.format, meant)
        faults = unrunnable(found, self.format, meant) if meant.family else ()
        if faults and not self.options.allow_unrunnable:
            raise UnrunnableError(
                meant.path,
                f"would not run as {self.format.title}; nothing was written"
                " (--allow-unrunnable writes it all the same)",
                faults,
            )
        return faults

    def _verify(self, first: Path, found: Lifted) -> None:
        if self.options.verify:
            from aprhub.verification.operation import require_faithful

            require_faithful(first, self.format, found, self.registry, self.options)


def _first_file(layout: Layout, staging: Staging) -> Path:
    """Return what a reader opens: the folder, or the file that is placed last."""
    return staging.opened if layout.folder else staging.path(layout.files[-1].name)


def _files(layout: Layout, target: Path) -> list[WrittenFile]:
    parent = target if layout.folder else target.parent
    return [WrittenFile(str(parent / file.name), file.nbytes) for file in layout.files]


def _resumed(pieces: int) -> tuple[str, ...]:
    if not pieces:
        return ()
    return (
        f"resumed: {pieces} pieces were there from an earlier run; what casts lost in"
        " them is not counted",
    )


def _unjudged(found: Lifted) -> tuple[str, ...]:
    if found.family:
        return ()
    return ("names were kept: nothing was checked against a family",)
