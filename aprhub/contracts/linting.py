"""Lint: what is wrong with contracts, and with what binds them to tests."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from aprhub.contracts import findings
from aprhub.contracts.bindings import JUDGED, BindingKind, binding
from aprhub.contracts.collection import collected
from aprhub.contracts.contract import Contract, Falsifier, contract_files, text
from aprhub.contracts.drift import MEANINGS, Drift, Resolved, resolved
from aprhub.contracts.findings import Finding, Severity
from aprhub.contracts.history import unrecorded
from aprhub.contracts.sources import SourceTree, Test
from aprhub.contracts.validation import counted, validated
from aprhub.errors import MissingFileError

SCHEMA: Final = 1
"""Version of the JSON form."""

_TO_REGISTER: Final = ("FALSIFY-", "INV-", "GATE-")
"""Beginnings of ids that only contracts give out."""


@frozen
class LintOptions:
    """What is looked at besides the contracts themselves, and how severely.

    `binding` looks up the tests below `root`; `collect` has pytest confirm them;
    `strict` makes errors of warnings. `since` is a revision of git: what changed since
    has to say so.
    """

    root: Path = field(factory=Path, converter=Path)
    strict: bool = False
    binding: bool = False
    collect: bool = False
    since: str = ""


@frozen
class Lint:
    """The findings in a number of contracts, and what could not be judged.

    `judged` counts the falsifiers by the kind of their bindings.
    """

    contracts: int
    findings: tuple[Finding, ...]
    judged: Mapping[str, int] = field(factory=dict)

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(each.severity is Severity.ERROR for each in self.findings)

    @property
    def unjudged(self) -> int:
        """How many falsifiers are bound to what nobody looked into."""
        return sum(n for kind, n in self.judged.items() if kind not in JUDGED)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like data."""
        return {
            "schema": SCHEMA,
            "contracts": self.contracts,
            "passed": not self.errors,
            "counts": dict(counted(self.findings)),
            "bindings": dict(self.judged),
            "unjudged": self.unjudged,
            "findings": [each.as_json() for each in self.findings],
        }


def lint(folder: Path, options: LintOptions) -> Lint:
    """Look for everything that is wrong with the contracts in a folder and below.

    Raises MissingFileError where there are none, and whatever reading the sources
    raises.
    """
    files = contract_files(folder) if folder.is_dir() else []
    if not files:
        what = "no contracts (*.yaml) are there; name a folder that has some"
        raise MissingFileError(folder, what)
    read = [validated(file) for file in files]
    found = [each for _, wrong in read for each in wrong]
    contracts = [contract for contract, _ in read if contract]
    found += _registered_twice(contracts)
    if options.since:
        found += unrecorded(contracts, options.since)
    bounds: list[_Bound] = []
    if options.binding or options.collect:
        tree = SourceTree.of(options.root)
        bounds = [_bound(e, tree) for each in contracts for e in each.falsifiers]
        found += _unregistered(contracts, tree)
        found += [fault for each in bounds for fault in _faults(each)]
    if options.collect:
        found += _uncollected(bounds, options.root)
    if options.strict:
        found = [each.strictly() for each in found]
    return Lint(len(files), tuple(found), Counter(each.kind for each in bounds))


def registered(contract: Contract) -> Iterator[str]:
    """Yield the ids that a contract gives out."""
    yield contract.id
    yield from (each.id for each in contract.falsifiers if each.id)
    for section in ("proof_obligations", "invariants", "gates", "validation_rules"):
        entry = contract.root.mapping().get(section)
        listed = entry.value if entry and isinstance(entry.value, tuple) else ()
        maps = (each.value for each in listed if isinstance(each.value, Mapping))
        yield from filter(None, (text(each, "id") for each in maps))
    yield from filter(None, [text(contract.section("qa_gate"), "id")])


def _registered_twice(contracts: Iterable[Contract]) -> Iterator[Finding]:
    owners: dict[str, Contract] = {}
    for contract in contracts:
        for name in dict.fromkeys(registered(contract)):
            owner = owners.setdefault(name, contract)
            if owner is not contract:
                what = f"{name} is registered by {owner.path}, too"
                repair = "give the id to one of them"
                rule = findings.REGISTERED_TWICE
                yield Finding.at(contract.root, rule, what, repair)


def _unregistered(contracts: Iterable[Contract], tree: SourceTree) -> Iterator[Finding]:
    known = {name for contract in contracts for name in registered(contract)}
    for shown in tree.shown:
        if shown.id.startswith(_TO_REGISTER) and shown.id not in known:
            what = f"{shown.id} is shown here, and no contract has it"
            repair = "add a falsifier of this id to a contract"
            place = Path(shown.file), shown.line
            yield Finding.of(findings.UNREGISTERED, *place, what, repair)


@frozen
class _Bound:
    """A falsifier, what kind of thing it is bound to, and what that resolves to."""

    falsifier: Falsifier
    kind: BindingKind
    found: tuple[Resolved, ...]


def _bound(falsifier: Falsifier, tree: SourceTree) -> _Bound:
    bound = binding(falsifier.test)
    found = resolved(bound, tree) if bound.kind in JUDGED else ()
    return _Bound(falsifier, bound.kind, tuple(found))


def _faults(bound: _Bound) -> Iterator[Finding]:
    for each in bound.found:
        if each.drift:
            yield _drift(bound.falsifier, each, each.drift)
        for test in each.tests:
            yield from _weaknesses(bound.falsifier, test)


def _uncollected(bounds: Iterable[_Bound], root: Path) -> Iterator[Finding]:
    """Find what stands in the sources, but pytest itself does not collect."""
    cited = [
        (each.cited.removeprefix("./"), bound.falsifier)
        for bound in bounds
        for each in bound.found
        if each.tests and "::" in each.cited
    ]
    nodes = collected(root, (node for node, _ in cited))
    known = {name for node in nodes for name in _prefixes(node)}
    for node, falsifier in cited:
        if node not in known:
            what = f"{falsifier.id}: pytest does not collect {node}"
            repair = "run pytest --collect-only on it"
            yield Finding.at(falsifier.entry, findings.UNCOLLECTED, what, repair)


def _prefixes(node: str) -> Iterator[str]:
    """Yield a node id, the same without parameters, and those of its classes."""
    yield node
    whole = node.partition("[")[0]
    while "::" in whole:
        yield whole
        whole = whole.rpartition("::")[0]


def _drift(falsifier: Falsifier, found: Resolved, drift: Drift) -> Finding:
    rule = findings.PROSE if drift is Drift.PROSE else findings.DANGLING
    cited = found.cited or f"{falsifier.test:.60}"
    what = f"{falsifier.id}: no test {cited} (drift {drift}: {MEANINGS[drift]})"
    repair = f"cite {found.near}" if found.near else "cite a test by its node id"
    return Finding.at(falsifier.entry, rule, what, repair)


def _weaknesses(falsifier: Falsifier, test: Test) -> Iterator[Finding]:
    """Find a test that could not fail, whatever the program does."""
    said = f"{falsifier.id}: {test.node}"
    if test.skipped:
        what = f"{said} is marked {test.skipped}, so that it need not run"
        yield Finding.at(falsifier.entry, findings.SKIPPED, what, "cite one that runs")
    if test.empty:
        what, repair = f"{said} does nothing", "write the test"
        yield Finding.at(falsifier.entry, findings.EMPTY, what, repair)
    elif not test.asserts:
        what = f"{said} asserts nothing, nor does what it calls"
        repair = "assert what the contract predicts"
        yield Finding.at(falsifier.entry, findings.WITHOUT_ASSERT, what, repair)
