"""Importance matrices: read from a file, matched to a model, written for one."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from attrs import evolve

from aprhub.equality import same_bytes
from aprhub.errors import (
    CorruptFileError,
    Fault,
    ModelCheckError,
    UnknownFormatError,
    UnrunnableError,
    UsageError,
)
from aprhub.export.commit import Writing
from aprhub.export.staging import refuse_existing, staged
from aprhub.ir.importance import Importance, Measured
from aprhub.ir.joining import concatenated
from aprhub.ir.tensor import Tensor
from aprhub.lift import Lifted
from aprhub.registry import Registry
from aprhub.spec.family import Family
from aprhub.spec.format import FileEvidence
from aprhub.spec.importance import ImportanceFormat
from aprhub.spec.layout import Layout
from aprhub.spec.naming import Dialect, Naming
from aprhub.spec.spelling import Spelling

_LayOut = Callable[[Importance, Path], Layout]

_AGAIN = "make one of this model with 'aprhub imatrix'"

_Held = tuple[tuple[str, ...], ...]
"""The weights that an entry is about: of each matrix those that are joined in it."""


def weighed(found: Lifted, path: Path, registry: Registry, *, lossy: bool) -> Lifted:
    """Return a model with the importance matrix of a file.

    Raises ModelCheckError for a matrix of another model: a name that no tensor of the
    model has (with `lossy`, that entry is left out and said), or another size.
    """
    stored = opened(path, registry)
    naming = registry.naming(identified(path, registry).naming)
    dialect = naming.of(found.family) if found.family else None
    names = {name: _held(name, dialect, found) for name in stored.entries}
    unknown = [name for name, held in names.items() if not held]
    faults = [*_size_faults(stored, names, found)]
    if not lossy or len(unknown) == len(names):
        what = "the model has no such tensor"
        faults += (Fault(name, what, _AGAIN) for name in unknown)
    if faults:
        raise ModelCheckError(path, "is of another model than this", faults)
    entries = {
        canonical: measured
        for name, held in names.items()
        if held
        for canonical, measured in _apart(stored.entries[name], held)
    }
    left_out = (f"{name}: not in the model, left out" for name in unknown)
    notes = (f"importance: {each}" for each in (*stored.notes, *left_out))
    importance = evolve(stored, entries=entries)
    return evolve(found, importance=importance, notes=(*found.notes, *notes))


def _apart(measured: Measured, held: _Held) -> Iterator[tuple[str, Measured]]:
    """Yield what each weight was multiplied with; what is joined was with the same."""
    for names, part in zip(held, measured.split(len(held)), strict=True):
        for canonical in names:
            yield canonical, part


def opened(path: Path, registry: Registry) -> Importance:
    """Open an importance matrix, by the stored names, and check its sums.

    Raises CorruptFileError when one is no sum of squares, and what opening raises.
    """
    return _sound(identified(path, registry).open(path))


def identified(path: Path, registry: Registry) -> ImportanceFormat:
    """Return the format of a file, by its first bytes.

    Raises UnknownFormatError when it is none of those that are read.
    """
    evidence = FileEvidence.of(path)
    formats = [each.value for each in registry.importances]
    for each in formats:
        if each.recognises(evidence):
            return each
    known = "; ".join(each.title for each in formats) or "none"
    raise UnknownFormatError(
        path,
        f"no importance matrix (known formats: {known}); make one of this model with"
        " 'aprhub imatrix'",
    )


def _held(name: str, dialect: Dialect | None, found: Lifted) -> _Held:
    """Return the weights of the model that an entry is about; names may be kept."""
    held: _Held = ((name,),)
    if dialect:
        spelling = dialect.to_ours(name)
        if spelling is None:
            return ()
        names = spelling.names(found.model.config.num_experts)
        step = len(spelling.parts)
        held = tuple(names[at : at + step] for at in range(0, len(names), step))
    known = found.model.tensors.keys()
    return held if all(known >= {*names} for names in held) else ()


def _size_faults(
    stored: Importance, names: Mapping[str, _Held], found: Lifted
) -> Iterator[Fault]:
    for name, measured in stored.entries.items():
        held = names[name]
        for canonical in held[0] if held else ():
            shape = found.model.tensors[canonical].shape
            size, counts = measured.sums.size, len(measured.counts)
            if counts not in (1, len(held)):
                what = f"{counts} matrices, but the model has {len(held)}"
                yield Fault(name, what, _AGAIN)
            elif (size,) != (len(held) * shape[-1],) or len(shape) != 2:
                each = size // len(held)
                what = f"{each} columns, but {canonical} is {list(shape)}"
                yield Fault(name, what, _AGAIN)


def _sound(stored: Importance) -> Importance:
    """Raise CorruptFileError unless all sums are finite and none is negative."""
    if not stored.entries:
        raise CorruptFileError(stored.path, "there are no entries", repair=_AGAIN)
    for name, measured in stored.entries.items():
        _refuse_unsound(stored.path, name, measured.sums)
    return stored


def _refuse_unsound(path: Path, name: str, sums: Tensor) -> None:
    position = 0
    for piece in sums.pieces():
        values = piece.view("<f4")
        bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if bad.size:
            what = f"{values[bad[0]]} at {position + bad[0]} is no sum of squares"
            raise CorruptFileError(path, what, where=name, repair=_AGAIN)
        position += values.size


def save_importance(
    importance: Importance, family: Family, registry: Registry, *, force: bool = False
) -> None:
    """Write an importance matrix, entries by canonical name, to its path.

    It is opened again and compared before it is put in place. Raises UsageError when
    no format has the path's extension, or a name has no spelling there.
    """
    target = importance.path
    fmt, lay_out = _writer(target, registry)
    naming = registry.naming(fmt.naming)
    stored = evolve(importance, entries=dict(_spelled(importance, naming, family)))
    layout = lay_out(stored, target)
    if not force:
        refuse_existing(target, [file.name for file in layout.files], is_folder=False)
    with staged(target, is_folder=False) as staging, Writing(layout, staging) as write:
        write.outline()
        write.fill()
        write.settle()
        _refuse_other(fmt.open(staging.path(target.name)), stored, fmt.name)
        staging.publish([file.name for file in layout.files], ())


def _writer(target: Path, registry: Registry) -> tuple[ImportanceFormat, _LayOut]:
    known: list[str] = []
    for each in registry.importances:
        if each.value.lay_out:
            if target.suffix.lower() in each.value.extensions:
                return each.value, each.value.lay_out
            known += each.value.extensions
    listed = " or ".join(known)
    raise UsageError(
        f"{target}: importance matrices are written as {listed}; give it that extension"
    )


def _spelled(
    importance: Importance, naming: Naming, family: Family
) -> Iterator[tuple[str, Measured]]:
    """Yield stored names, and what the matrices of each tensor were multiplied with.

    Weights that are joined have had the same input, so that the first speaks for all.
    """
    dialect = naming.of(family)
    found: dict[str, tuple[Spelling, dict[str, Measured]]] = {}
    for name, measured in importance.entries.items():
        spelling = dialect.to_theirs(name)
        if spelling is None:
            raise UsageError(
                f"naming {naming.name} has no name for {name}; write another format"
            )
        group = found.setdefault(spelling.stored, (spelling, {}))
        group[1][name] = measured
    for stored, (spelling, group_entries) in found.items():
        firsts = list(group_entries.values())[:: len(spelling.parts)]
        sums = concatenated([each.sums.reshaped(each.sums.size) for each in firsts])
        counts = tuple(count for each in firsts for count in each.counts)
        yield stored, Measured(sums, counts)


def _refuse_other(found: Importance, meant: Importance, name: str) -> None:
    """Raise UnrunnableError unless a file reads back as what was meant."""
    repair = f"report it to the author of the format {name}"
    faults = [
        Fault(entry, "was written otherwise than meant", repair)
        for entry in {**meant.entries, **found.entries}
        if not _is_same(found.entries.get(entry), meant.entries.get(entry))
    ]
    if faults:
        what = "the written importance matrix is not what was meant"
        raise UnrunnableError(meant.path, what, faults)


def _is_same(one: Measured | None, other: Measured | None) -> bool:
    if one is None or other is None:
        return False
    if one.counts != other.counts or one.sums.size != other.sums.size:
        return False
    return same_bytes(one.sums, other.sums.reshaped(*one.sums.shape))
