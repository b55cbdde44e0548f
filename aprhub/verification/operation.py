"""Verify: two files lifted, compared, and run where that is asked."""

from collections.abc import Iterator
from pathlib import Path

from attrs import evolve, frozen

from aprhub.detect import identify
from aprhub.errors import Fault, ModelError, UnrunnableError, about
from aprhub.ir.encoding import FLOATS
from aprhub.lift import KEEP, Lifted, LiftOptions, lifted, namings_of
from aprhub.options import ConvertOptions, VerifyOptions
from aprhub.registry import Registry
from aprhub.spec.format import Format, StoredModel
from aprhub.unpacking import prepared
from aprhub.verification.companions import companion_findings, metadata_kept
from aprhub.verification.logits import LogitsComparison, Side, refuse_idle_judges
from aprhub.verification.tensors import TensorComparison, Terms, found_in
from aprhub.verification.verdict import Finding, LogitsVerdict, Verification


def verify_files(
    source: Path, target: Path, options: VerifyOptions, registry: Registry
) -> Verification:
    """Compare a model with what it was converted from.

    Raises InputError for files that cannot be read, ModelError for a source that is no
    sound model; what is wrong with the target is found instead.
    """
    terms = Terms(options.level, (options.dtype,) if options.dtype else ())
    asked = LiftOptions(options.naming, options.family)
    given = _source(source, options, asked, registry)
    with about(target):
        found = _Target(target, identify(target, registry), registry, terms)
        sides = given, evolve(given, path=target, format=found.format.name)
        refuse_idle_judges(sides, options.against)
        return found.verified(given, asked, options.against)


def _source(
    path: Path, options: VerifyOptions, asked: LiftOptions, registry: Registry
) -> Side:
    """Open and lift what the target was converted from."""
    with about(path):
        fmt = identify(path, registry)
        stored = _as_stored(fmt.opened(path), options.level)
        meant = lifted(prepared(stored, registry, asked.naming), registry, asked)
        if options.imatrix:
            from aprhub.importance import weighed

            meant = weighed(meant, options.imatrix, registry, lossy=False)
        return Side(path, fmt.name, meant)


def require_faithful(
    path: Path, fmt: Format, meant: Lifted, registry: Registry, options: ConvertOptions
) -> None:
    """Compare a file that was just written with the model that it was written from.

    What the options of the conversion asked for is no fault. Raises UnrunnableError
    with what was found.
    """
    casts = FLOATS if options.lossy or options.quantize else (options.dtype,)
    told = tuple(each for each in casts if each)
    terms = Terms(options.verify or "values", told, own_codecs=True)
    given = Side(Path("source"), "", meant)
    found = _Target(path, fmt, registry, terms)
    result = found.verified(given, LiftOptions(None if meant.family else KEEP))
    if not result.is_faithful:
        repair = (
            "ask for --verify=values, which allows other encodings"
            if terms.level == "bytes"
            else "convert again, and report it to the author of the plugin for"
            f" {fmt.title}"
        )
        faults = [
            Fault(each.subject, f"{each.cause} ({each.detail})", repair)
            for each in result.findings
        ]
        raise UnrunnableError(path, f"verification ({terms.level}) failed", faults)


@frozen
class _Target:
    """A file that is to be the conversion of a model."""

    path: Path
    format: Format
    registry: Registry
    terms: Terms

    def verified(
        self, given: Side, asked: LiftOptions, judges: tuple[str, ...] = ()
    ) -> Verification:
        """Compare the file with a model; one that cannot be lifted is a finding."""
        family = given.lifted.family
        options = evolve(asked, family=family.name if family else asked.family)
        empty = Verification(str(given.path), str(self.path), self.terms.level, (), ())
        try:
            stored = _as_stored(self.format.opened(self.path), self.terms.level)
            stored = prepared(stored, self.registry, options.naming)
            found = lifted(stored, self.registry, options)
        except ModelError as error:
            subject = error.faults[0].subject if error.faults else "target"
            return evolve(empty, findings=(Finding(subject, "unreadable", str(error)),))
        return self._compared(given, stored, found, empty, judges)

    def _compared(
        self,
        given: Side,
        stored: StoredModel,
        found: Lifted,
        empty: Verification,
        judges: tuple[str, ...],
    ) -> Verification:
        meant, level = given.lifted, self.terms.level
        namings = tuple(namings_of(stored, self.registry)) if found.family else ()
        comparison = TensorComparison(meant, found, namings, self.registry, self.terms)
        verdicts = tuple(comparison.verdicts())
        findings = [*_claimed(stored, meant), *found_in(verdicts)]
        if level != "names":
            findings += companion_findings(meant.model, found.model)
        side = Side(self.path, self.format.name, found)
        run = level == "logits" or judges
        computed = (
            list(LogitsComparison(given, side, verdicts, judges).found()) if run else []
        )
        findings += [each for each in computed if isinstance(each, Finding)]
        logits = tuple(each for each in computed if isinstance(each, LogitsVerdict))
        kept, lost = metadata_kept(meant.model, found.model)
        return evolve(
            empty,
            tensors=verdicts,
            findings=tuple(findings),
            kept=kept,
            lost=lost,
            logits=logits,
        )


def _claimed(stored: StoredModel, meant: Lifted) -> Iterator[Finding]:
    """Yield a finding where a file claims to be of another family than its source."""
    identity = stored.config.identity
    if meant.family and not meant.family.is_claimed_by(identity):
        claims = ", ".join(map(repr, identity.claims))
        detail = f"{meant.family.name} became {claims:.120}"
        yield Finding("architecture", "architecture", detail)


def _as_stored(stored: StoredModel, level: str) -> StoredModel:
    """Return a model whose tensors stay as wide as they are stored.

    Narrowing them back to what they once were would refuse values that have changed.
    """
    return stored if level == "bytes" else evolve(stored, native={})
