"""Lint: what is wrong with contracts, and with what binds them to tests."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from aprhub.contracts import findings
from aprhub.contracts.bindings import JUDGED, binding
from aprhub.contracts.collection import collected
from aprhub.contracts.contract import Contract, Falsifier, contract_files, text
from aprhub.contracts.drift import MEANINGS, Drift, Resolved, resolved
from aprhub.contracts.findings import Finding, Severity
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
    `strict` makes errors of warnings.
    """

    root: Path = field(factory=Path, converter=Path)
    strict: bool = False
    binding: bool = False
    collect: bool = False


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
        raise MissingFileError(folder, "no contracts (*.yaml) are there; name a folder")
    read = [validated(file) for file in files]
    found = [each for _, wrong in read for each in wrong]
    contracts = [contract for contract, _ in read if contract]
    found += _registered_twice(contracts)
    judged: Counter[str] = Counter()
    if options.binding or options.collect:
        tree = SourceTree.of(options.root)
        found += _unregistered(contracts, tree)
        bindings = _Bindings(contracts, tree, judged, collect=options.collect)
        found += bindings.findings()
    if options.strict:
        found = [each.strictly() for each in found]
    return Lint(len(files), tuple(found), judged)


def registered(contract: Contract) -> Iterator[str]:
    """Yield the ids that a contract gives out."""
    yield contract.id
    yield from (each.id for each in contract.falsifiers if each.id)
    for section in ("proof_obligations", "invariants", "gates", "validation_rules"):
        entries = contract.listed(section)
        yield from filter(None, (text(each.mapping(), "id") for each in entries))
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
class _Bindings:
    contracts: Sequence[Contract]
    tree: SourceTree
    judged: Counter[str]
    collect: bool

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the tests that falsifiers cite, and count them."""
        good: list[tuple[Falsifier, Resolved]] = []
        for contract in self.contracts:
            for falsifier in contract.falsifiers:
                bound = binding(falsifier.test)
                self.judged[bound.kind] += 1
                if bound.kind in JUDGED:
                    found = resolved(bound, self.tree)
                    yield from _faults(falsifier, found)
                    good += [(falsifier, each) for each in found if each.tests]
        if self.collect:
            yield from self._uncollected(good)

    def _uncollected(
        self, good: Iterable[tuple[Falsifier, Resolved]]
    ) -> Iterator[Finding]:
        """Find what stands in the sources, but pytest itself does not collect."""
        cited = [(each.cited, falsifier) for falsifier, each in good]
        nodes = collected(self.tree.root, (node for node, _ in cited if "::" in node))
        known = {name for node in nodes for name in _prefixes(node)}
        for node, falsifier in cited:
            if "::" in node and node.removeprefix("./") not in known:
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


def _faults(falsifier: Falsifier, found: Iterable[Resolved]) -> Iterator[Finding]:
    for each in found:
        if each.drift:
            yield _drift(falsifier, each, each.drift)
        for test in each.tests:
            yield from _weaknesses(falsifier, test)


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
