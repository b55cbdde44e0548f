"""Contracts that can be held against a model file: what each demands of it."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from aprhub import conversion
from aprhub.contracts.contract import Contract
from aprhub.conversion import Opened
from aprhub.difference import EQUAL, difference
from aprhub.errors import Fault, ModelError, UnrepresentableError, UsageError, about
from aprhub.lift import LiftOptions
from aprhub.options import ConvertOptions
from aprhub.registry import Registry
from aprhub.spec.format import Format

SCHEMA: Final = 1
"""Version of the JSON form."""

FATES: Final = ("kept", "renamed", "transformed", "carried")
"""What may become of a key where nothing may be lost."""

_LIFTED: Final = "leave out --naming keep"


@frozen
class Subject:
    """The model that is held against a contract, and how it is to be read."""

    path: Path
    registry: Registry
    lift: LiftOptions = field(factory=LiftOptions)
    source_format: str | None = None

    def opened(self) -> Opened:
        """Return the model in canonical form, checked against its family."""
        return conversion.opened(
            self.path, self.registry, self.lift, self.source_format
        )

    def converted(self, target: Path, **options: Any) -> Any:
        """Convert the model, and return the report."""
        chosen = ConvertOptions(
            self.source_format,
            naming=self.lift.naming,
            family=self.lift.family,
            **options,
        )
        return conversion.convert(self.path, target, chosen, self.registry)


@frozen
class Refusal:
    """A format that cannot hold the model, and said so: no fault of either."""

    format: str
    why: str

    def __str__(self) -> str:
        """Return the refusal as one line."""
        return f"{self.format} cannot hold it: {' '.join(self.why.split())}"


@frozen
class Checked:
    """Whether a model keeps a contract, and every way in which it does not.

    `refusals` are formats that the contract says nothing about, for this model.
    """

    path: Path
    contract: str
    faults: tuple[Fault, ...]
    refusals: tuple[Refusal, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like data."""
        return {
            "schema": SCHEMA,
            "path": str(self.path),
            "contract": self.contract,
            "holds": self.holds,
            "faults": [str(each) for each in self.faults],
            "refusals": [str(each) for each in self.refusals],
        }


def checked(subject: Subject, contract: Contract) -> Checked:
    """Hold a model against a contract.

    Raises UsageError where the contract says nothing about a single file, and
    InputError where the file is broken; a check that says no is a fault.
    """
    demands = DEMANDS.get(contract.name)
    if demands is None:
        able = ", ".join(DEMANDS)
        what = f"{contract.name} cannot be run on a file; choose one of {able}"
        raise UsageError(what)
    with about(subject.path):
        found = tuple(_caught(demands, subject))
    faults = tuple(each for each in found if isinstance(each, Fault))
    refusals = tuple(each for each in found if isinstance(each, Refusal))
    if refusals and len(refusals) == len(_writable(subject.registry)):
        problem = "no format can hold it: nothing was judged"
        faults += (Fault(str(subject.path), problem, "do what the refusals say"),)
    return Checked(subject.path, contract.name, faults, refusals)


def _caught(demands: "Demands", subject: Subject) -> Iterator[Fault | Refusal]:
    """Yield the faults of a check, and those of an error that it ends with."""
    try:
        yield from demands(subject)
    except ModelError as error:
        yield from error.faults or (_told(str(error.path), error),)


def _told(subject: str, error: ModelError) -> Fault:
    """Return an error as a fault; what to do is in its text."""
    return Fault(subject, str(error).removeprefix(f"{subject}: "), "")


def _layout(subject: Subject) -> Iterator[Fault]:
    """Demand what lifting and checking do: names, shapes, sizes, vocabulary."""
    if subject.opened().found.family is None:
        what = "with names kept, no shape can be judged"
        yield Fault(str(subject.path), what, _LIFTED)


def _packaging(subject: Subject) -> Iterator[Fault]:
    """Demand what the programs of the model's own format need."""
    opened = subject.opened()
    stored = evolve(opened.stored, family=opened.found.family)
    yield from subject.registry.format(stored.format).runnable(stored)


def _merged(subject: Subject) -> Iterator[Fault]:
    """Demand that a merge, where the lineage tells of one, had an effect."""
    yield from _packaging(subject)
    for step in subject.opened().found.model.provenance.lineage:
        if step.options.get("layers_merged") == 0:
            what = "the lineage says that it merged no layer"
            yield Fault(step.operation, what, "merge again, with a trained adapter")


def _gguf(subject: Subject) -> Iterator[Fault]:
    """Demand that a GGUF can be made of the model, and that llama.cpp would run it."""
    if subject.opened().stored.format == "gguf":
        yield from _packaging(subject)
        return
    target = Path(f"{subject.path.stem}.gguf")
    subject.converted(target, dry_run=True, force=True)


def _roundtrip(subject: Subject) -> Iterator[Fault | Refusal]:
    """Demand that every format gives back what it got, to the last bit of a value."""
    home = subject.opened().stored.format
    for target in _writable(subject.registry):
        with tempfile.TemporaryDirectory() as folder:
            away = Path(folder) / _file_name(target)
            yield from _there_and_back(subject, away, target, home)


def _there_and_back(
    subject: Subject, away: Path, target: Format, home: str
) -> Iterator[Fault | Refusal]:
    back = away.with_name("back" + "".join(_suffix(subject.registry.format(home))))
    asked = {"verify": "values", "allow_unrunnable": True}
    try:
        subject.converted(away, target_format=target.name, **asked)
        there = Subject(away, subject.registry, subject.lift)
        there.converted(back, target_format=home, **asked)
    except UnrepresentableError as error:
        yield Refusal(target.name, str(error))
        return
    except ModelError as error:
        yield _told(target.name, error)
        return
    again = Subject(back, subject.registry, subject.lift).opened()
    found = difference(subject.opened().found.model, again.found.model)
    repair = _report(f"format {target.name}")
    for each in found.tensors:
        if each.outcome not in EQUAL:
            yield Fault(each.name, f"{each.outcome} by way of {target.name}", repair)
    for name in (*found.config, *found.tokenizer):
        yield Fault(name, f"changed by way of {target.name}", repair)


def _report(plugin: str) -> str:
    return f"report it to the author of the {plugin}"


def _writable(registry: Registry) -> list[Format]:
    formats = (each.value for each in registry.formats)
    return [each for each in formats if each.open and each.lay_out]


def _file_name(fmt: Format) -> str:
    return f"model{_suffix(fmt)}"


def _suffix(fmt: Format) -> str:
    return "" if fmt.writes_folder else fmt.extensions[0]


def _bijection(subject: Subject) -> Iterator[Fault]:
    """Demand of every naming that it writes each weight so that it is read again."""
    opened = subject.opened()
    family = opened.found.family
    if family is None:
        what = "with names kept, there is nothing to map"
        yield Fault(str(subject.path), what, _LIFTED)
        return
    for provided in subject.registry.namings:
        dialect = provided.value.of(family)
        repair = _report(f"naming {provided.value.name}")
        owners: dict[str, str] = {}
        for name in opened.found.model.tensors:
            theirs = dialect.to_theirs(name)
            if theirs is None:
                continue
            ours = dialect.to_ours(theirs.stored)
            if ours != theirs:
                what = f"{provided.value.name} writes it as {theirs.stored}"
                yield Fault(name, f"{what}, and reads that as something else", repair)
            owners.setdefault(theirs.stored, theirs.canonical)
            if owners[theirs.stored] != theirs.canonical:
                what = f"{theirs.stored} is two weights at once"
                yield Fault(name, what, repair)


def _accounting(subject: Subject) -> Iterator[Fault | Refusal]:
    """Demand that a conversion into any format tells of every tensor and every key."""
    stored = subject.opened().stored
    for target in _writable(subject.registry):
        asked = {"dry_run": True, "allow_unrunnable": True, "force": True}
        place = Path(_file_name(target))
        try:
            report = subject.converted(place, target_format=target.name, **asked)
        except UnrepresentableError as error:
            yield Refusal(target.name, str(error))
            continue
        told = {each.source for each in report.tensors}
        repair = _report(f"format {target.name}")
        for name in stored.tensors.keys() - told:
            what = f"not told of by a conversion into {target.name}"
            yield Fault(name, what, repair)
        for key in report.keys:
            if key.fate not in FATES:
                unset = "take it out with 'aprhub stamp --unset'"
                yield Fault(key.key, f"{key.fate} ({key.why})", unset)


Demands = Callable[[Subject], Iterator[Fault | Refusal]]

DEMANDS: Final[Mapping[str, Demands]] = {
    "checkpoint-packaging": _packaging,
    "convert-accounting": _accounting,
    "export-gguf-interop": _gguf,
    "format-roundtrip": _roundtrip,
    "merge-runnable": _merged,
    "naming-bijection": _bijection,
    "tensor-layout": _layout,
}
"""What each contract that is about a file demands of it."""
