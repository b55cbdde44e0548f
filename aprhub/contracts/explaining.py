"""Explains contracts and falsifiers out of the contracts themselves."""

from collections.abc import Sequence

from aprhub.contracts.contract import Contract, Falsifier
from aprhub.errors import UnknownNameError
from aprhub.explanations import Explanation, explained_ids, explanation


def explained(name: str, among: Sequence[Contract]) -> Explanation:
    """Return what an id means: its page, or what a contract says of it.

    A contract is found under any of its names. Raises UnknownNameError with a near
    miss.
    """
    pages = {each.lower() for each in explained_ids()}
    names = {alias.lower(): each.id for each in among for alias in each.names}
    wanted = names.get(name.lower(), name)
    if wanted.lower() in pages:
        return explanation(wanted)
    falsifiers = {
        each.id.lower(): (contract, each)
        for contract in among
        for each in contract.falsifiers
    }
    if wanted.lower() not in falsifiers:
        raise UnknownNameError("id", name, explainable(among))
    return _of_falsifier(*falsifiers[wanted.lower()])


def explainable(among: Sequence[Contract]) -> list[str]:
    """Return every id that can be explained."""
    falsifiers = (each.id for contract in among for each in contract.falsifiers)
    return sorted({*explained_ids(), *falsifiers})


def _of_falsifier(contract: Contract, falsifier: Falsifier) -> Explanation:
    sections = (
        _sentence(falsifier.prediction),
        f"If it fails: {falsifier.if_fails}. It belongs to the contract"
        f" {contract.name}. {_sentence(contract.description)}",
        f"The test that would break it:\n\n```text\n{falsifier.test}\n```",
        "Run its tests in a checkout, and see what they say.\n\n"
        f"```console\n$ aprhub contracts run {contract.name}\n```",
    )
    return Explanation(falsifier.id, _sentence(falsifier.rule), sections)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
