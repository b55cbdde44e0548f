"""Runs the tests that falsifiers are bound to."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import asdict, frozen

from aprhub.contracts.bindings import BindingKind, binding
from aprhub.contracts.collection import outcomes, reported
from aprhub.contracts.contract import Contract, Falsifier
from aprhub.contracts.drift import resolved
from aprhub.contracts.sources import SourceTree


@frozen
class Verdict:
    """How the tests of one falsifier ended.

    `outcome` is `held` (all passed), `broken` (one failed), `unproved` (one was
    skipped, or none ran), `missing` (a test that it cites is not there) or `not run`
    (it is bound to no test of pytest).
    """

    contract: str
    falsifier: str
    outcome: str
    tests: Mapping[str, int]

    def as_json(self) -> dict[str, object]:
        """Return it as JSON-like data."""
        return asdict(self)


def run(contracts: Iterable[Contract], root: Path) -> list[Verdict]:
    """Run the tests below a folder that falsifiers cite, all in one run of pytest.

    Raises EnvironmentFailureError where pytest is missing or breaks off.
    """
    tree = SourceTree.of(root)
    plans = [
        (contract, each, _nodes(each, tree))
        for contract in contracts
        for each in contract.falsifiers
    ]
    nodes = {node for _, _, found in plans for node in found or ()}
    ended = outcomes(root, nodes) if nodes else {}
    return [
        _verdict(contract, falsifier, found, ended)
        for contract, falsifier, found in plans
    ]


def _nodes(falsifier: Falsifier, tree: SourceTree) -> list[str] | None:
    """Return what to run, nothing for what is no test; None where a test is missing."""
    bound = binding(falsifier.test)
    if bound.kind not in (BindingKind.PYTEST, BindingKind.NAME):
        return []
    found = resolved(bound, tree)
    if any(each.drift for each in found):
        return None
    exact = [each.cited for each in found if "[" in each.cited]
    whole = [
        test.node for each in found if "[" not in each.cited for test in each.tests
    ]
    return exact + whole


def _verdict(
    contract: Contract,
    falsifier: Falsifier,
    nodes: list[str] | None,
    ended: Mapping[str, str],
) -> Verdict:
    names = [reported(node) for node in nodes or ()]
    ends = Counter(
        end
        for case, end in ended.items()
        if any(case == name or case.startswith(f"{name}[") for name in names)
    )
    outcome = "missing" if nodes is None else _outcome(ends) if nodes else "not run"
    return Verdict(contract.name, falsifier.id, outcome, ends)


def _outcome(ends: Mapping[str, int]) -> str:
    if {"failed", "error"} & ends.keys():
        return "broken"
    return "held" if set(ends) == {"passed"} else "unproved"
