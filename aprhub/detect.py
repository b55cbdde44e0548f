"""Which format a file is in, and which one a target should be in."""

from pathlib import Path

from aprhub.errors import (
    AmbiguousFormatError,
    UnknownFormatError,
    UsageError,
    near_miss,
)
from aprhub.registry import Provided, Registry
from aprhub.spec.format import Confidence, FileEvidence, Format


def identify(path: Path, registry: Registry, wanted: str | None = None) -> Format:
    """Return the format of an existing file: the one asked for, or the best match.

    Bytes beat names: magic outweighs structure, which outweighs the extension. Raises
    UnknownFormatError or AmbiguousFormatError, naming the formats there are.
    """
    evidence = FileEvidence.of(path)
    if wanted:
        return registry.format(wanted)
    scores = [(each.value.confidence(evidence), each) for each in registry.formats]
    best = max((score for score, _ in scores), default=Confidence.NONE)
    winners = [each for score, each in scores if score is best]
    if best is Confidence.NONE:
        raise UnknownFormatError(path, _not_recognised(evidence, registry))
    if len(winners) > 1:
        raise AmbiguousFormatError(path, _contested(winners))
    return winners[0].value


def _not_recognised(evidence: FileEvidence, registry: Registry) -> str:
    names = sorted(each.value.name for each in registry.formats)
    known = ", ".join(names) or "no format: no plugin that offers one is loaded"
    if evidence.names:
        found = "a folder that holds " + ", ".join(sorted(evidence.names)[:5])
    else:
        found = f"{evidence.size} bytes that begin with {evidence.head[:8]!r}"
    broken = "; some plugins could not be loaded, see 'aprhub plugins'"
    tail = broken if registry.broken else ""
    named = "if it is one of them, name it with --from"
    return f"not recognised as any of {known}: {found}; {named}{tail}"


def _contested(winners: list[Provided[Format]]) -> str:
    named = " and ".join(f"{each.value.name} from {each.plugin}" for each in winners)
    first = winners[0]
    return (
        f"recognised equally well as {named}; choose one with"
        f" --from {first.distribution}:{first.value.name}"
    )


def target_format(path: Path, registry: Registry, wanted: str | None = None) -> Format:
    """Return the format to write: the one asked for, or what the name says.

    A name with an extension of another format is refused, and so is a format that is
    only read. Without an extension, the format that writes folders is meant.
    """
    suffix = path.suffix.lower()
    by_suffix = [each for each in registry.formats if suffix in each.value.extensions]
    chosen = registry.format(wanted) if wanted else _by_name(path, registry, by_suffix)
    contrary = [each for each in by_suffix if each.value.name != chosen.name]
    if contrary and suffix not in chosen.extensions:
        raise UsageError(
            f"{path}: the extension {suffix} belongs to {contrary[0].value.name}, but"
            f" {chosen.name} was to be written; change one of them"
        )
    if chosen.lay_out is None:
        able = sorted(e.value.name for e in registry.formats if e.value.lay_out)
        what = f"{chosen.name} is only read, not written; use one of {', '.join(able)}"
        raise UsageError(what)
    return chosen


def _by_name(
    path: Path, registry: Registry, by_suffix: list[Provided[Format]]
) -> Format:
    folders = [each for each in registry.formats if each.value.writes_folder]
    found = by_suffix or (folders if path.is_dir() or not path.suffix else [])
    if len(found) > 1:
        raise AmbiguousFormatError(path, _contested(found).replace("--from", "--to"))
    if not found:
        known = sorted(
            extension
            for each in registry.formats
            for extension in each.value.extensions
        )
        raise UsageError(
            f"{path}: no format has the extension {path.suffix!r}"
            f"{near_miss(path.suffix, known)} (known:"
            f" {', '.join(known)}); use one of them, or say which with --to"
        )
    return found[0].value
