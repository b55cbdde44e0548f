"""The contracts that come with the program, and what they cover."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from aprhub.contracts.bindings import JUDGED, BindingKind, binding
from aprhub.contracts.contract import Contract, contract_files, read_contract
from aprhub.errors import UnknownNameError

_INSTALLED: Final = Path(__file__).parent / "shipped"
_CHECKOUT: Final = Path(__file__).parents[2] / "contracts"
SHIPPED: Final = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""The folder of the contracts that come with the program; a wheel has them inside."""


def contracts(folder: Path = SHIPPED) -> list[Contract]:
    """Return the contracts in a folder and below."""
    return [read_contract(file) for file in contract_files(folder)]


def named(name: str, among: Sequence[Contract]) -> Contract:
    """Return the contract of a name or id; raise UnknownNameError with a near miss."""
    for contract in among:
        if name in contract.names:
            return contract
    known = (each.name for each in among)
    raise UnknownNameError("contract", name, known)


@frozen
class Coverage:
    """What a contract claims, and how much of it is bound to tests."""

    contract: str
    kind: str
    status: str
    equations: int
    obligations: int
    falsifiers: int
    bound: int
    other: int
    prose: int

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like data."""
        return asdict(self)


def coverage(among: Iterable[Contract]) -> list[Coverage]:
    """Count what each contract claims; `other` are bindings that are no tests here."""
    return [_coverage(each) for each in among]


def _coverage(contract: Contract) -> Coverage:
    kinds = Counter(binding(each.test).kind for each in contract.falsifiers)
    return Coverage(
        contract.name,
        contract.kind,
        contract.status,
        len(contract.section("equations")),
        len(contract.listed("proof_obligations")),
        len(contract.falsifiers),
        kinds[BindingKind.PYTEST] + kinds[BindingKind.NAME],
        sum(count for kind, count in kinds.items() if kind not in JUDGED),
        kinds[BindingKind.PROSE],
    )
