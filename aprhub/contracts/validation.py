"""Whether a contract says what a contract has to say: the rules of `pv validate`.

The numbers are those of the schema validator of provable-contracts. Only a contract of
the kind `kernel`, or of none, needs every section; others are held to what they have.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from aprhub.contracts.contract import (
    KERNEL,
    Contract,
    Falsifier,
    members,
    read_contract,
    text,
)
from aprhub.contracts.findings import (
    FEW_TESTS,
    NO_KANI,
    NO_TESTS,
    PARSING,
    UNPROVED,
    Finding,
)
from aprhub.errors import MissingFileError, UsageError, near_miss
from aprhub.yaml_document import Entry

KINDS: Final = (
    *("kernel", "registry", "model-family", "model-family-variant", "tokenizer"),
    *("training-loop", "pretraining-corpus", "training-precondition-gate"),
    *("corpus-assembly", "pattern", "schema", "beat-benchmark", "kaizen"),
)
OBLIGATIONS: Final = (
    *("invariant", "equivalence", "bound", "monotonicity", "idempotency"),
    *("linearity", "symmetry", "associativity", "conservation", "ordering"),
    *("completeness", "soundness", "involution", "determinism", "roundtrip"),
    *("state_machine", "classification", "independence", "termination"),
    *("precondition", "postcondition", "frame", "loop_invariant", "loop_variant"),
    *("old_state", "subcontract", "liveness", "safety"),
)
SECTIONS: Final = (
    *("metadata", "equations", "proof_obligations", "falsification_tests"),
    *("kani_harnesses", "qa_gate", "verification_summary", "kernel_structure"),
    *("simd_dispatch", "enforcement", "type_invariants", "coq_spec", "five_whys"),
    *("required_fields", "invariants", "gates", "summary", "motivation"),
    *("contract_id", "commands", "falsification", "validation_rules", "tensors"),
)
"""What stands at the top of a contract, as the validator has it or in the wild."""

EVIDENCE: Final = ("evidence", "evidence_path", "discharge_evidence")
"""Keys that say where the evidence lies for what is discharged."""


def validated(path: Path) -> tuple[Contract | None, list[Finding]]:
    """Read a contract; return it, None where it cannot be read, and all findings."""
    try:
        contract = read_contract(path)
        return contract, list(findings(contract))
    except (UsageError, MissingFileError) as error:
        # The error names the file itself, and the line where there is one.
        what = " ".join(str(error).removeprefix(str(path)).lstrip(",: ").split())
        return None, [Finding.of(PARSING, path, _line(what), what)]


def _line(what: str) -> int:
    words = what.replace(":", " ").replace(",", " ").split()
    place = words.index("line") + 1 if "line" in words[:-1] else len(words)
    number = words[place] if place < len(words) else ""
    return int(number) if number.isdecimal() else 1


def findings(contract: Contract) -> Iterator[Finding]:
    """Yield what breaks a rule; raise UsageError where a section is not one."""
    yield from _head(contract)
    yield from _equations(contract)
    yield from _obligations(contract)
    yield from _falsifiers(contract.falsifiers)
    yield from _harnesses(contract)
    yield from _proofs(contract)
    yield from _gate(contract)
    yield from _status(contract)
    for name, entry in contract.root.mapping().items():
        if name not in SECTIONS:
            repair = "it is kept, and means nothing here" + near_miss(name, SECTIONS)
            yield Finding.at(entry, "SCHEMA-018", "unknown section", repair)


def _head(contract: Contract) -> Iterator[Finding]:
    keys, top = contract.metadata, contract.root.mapping()["metadata"]
    if not text(keys, "version"):
        repair = "write a version, such as 1.0.0"
        yield Finding.at(top, "SCHEMA-002", "version is missing or empty", repair)
    references = keys.get("references")
    if not members(references) and (references or contract.kind == KERNEL):
        repair = "name what the contract rests on, in a list"
        where = references or top
        yield Finding.at(where, "SCHEMA-001", "there are no references", repair)
    if contract.kind not in KINDS:
        what = f"{contract.kind!r} is no kind of contract"
        yield Finding.at(keys["kind"], PARSING, what, _known(contract.kind, KINDS))


def _equations(contract: Contract) -> Iterator[Finding]:
    equations = contract.section("equations")
    if contract.kind == KERNEL and not equations:
        what = "there are no equations"
        repair = "write them, or the kind of contract that this is"
        if "kind" not in contract.metadata:
            what += "; it gives no kind, and so was judged as a kernel"
        yield Finding.at(contract.root, "SCHEMA-003", what, repair)
    for entry in equations.values():
        if not text(entry.mapping(), "formula"):
            repair = "write the formula"
            yield Finding.at(entry, "SCHEMA-004", "no formula", repair)


def _obligations(contract: Contract) -> Iterator[Finding]:
    entries = contract.listed("proof_obligations")
    for entry in entries:
        keys = entry.mapping()
        kind = text(keys, "type")
        if not text(keys, "property"):
            repair = "say what has to hold"
            yield Finding.at(entry, "SCHEMA-005", "no property", repair)
        if kind not in OBLIGATIONS:
            what = f"{kind!r} is no type of obligation"
            yield Finding.at(entry, PARSING, what, _known(kind, OBLIGATIONS))
    formal = ((text(entry.mapping(), "formal"), entry) for entry in entries)
    for entry in _repeated(formal):
        repair = "one obligation says it already"
        yield Finding.at(entry, "SCHEMA-006", "formal stands twice", repair)


def _falsifiers(falsifiers: Iterable[Falsifier]) -> Iterator[Finding]:
    for each in falsifiers:
        name = each.id or "a falsifier without id"
        if not each.prediction:
            what, repair = f"{name} predicts nothing", "say what has to be seen"
            yield Finding.at(each.entry, "SCHEMA-008", what, repair)
        if not each.if_fails:
            what = f"{name} does not say what it means if it fails"
            yield Finding.at(each.entry, "SCHEMA-009", what, "write if_fails")
    for entry in _repeated((each.id, each.entry) for each in falsifiers):
        what = f"the id {text(entry.mapping(), 'id')} stands twice"
        yield Finding.at(entry, "SCHEMA-007", what, "give each its own id")


def _harnesses(contract: Contract) -> Iterator[Finding]:
    entries = contract.listed("kani_harnesses")
    for entry in entries:
        keys = entry.mapping()
        if not text(keys, "obligation"):
            repair = "name the obligation that it proves"
            yield Finding.at(entry, "SCHEMA-011", "no obligation", repair)
        if "bound" not in keys:
            repair = "write the bound of the proof"
            yield Finding.at(entry, "SCHEMA-012", "no bound", repair)
    for entry in _repeated((text(each.mapping(), "id"), each) for each in entries):
        what = f"the id {text(entry.mapping(), 'id')} stands twice"
        yield Finding.at(entry, "SCHEMA-010", what, "give each its own id")


def _proofs(contract: Contract) -> Iterator[Finding]:
    """Find what a kernel lacks of proofs."""
    if contract.kind != KERNEL or not contract.section("equations"):
        return
    obligations = contract.listed("proof_obligations")
    if not contract.listed("kani_harnesses"):
        what, repair = "a kernel without a harness", "add to kani_harnesses"
        yield Finding.at(contract.root, NO_KANI, what, repair)
    if not contract.falsifiers:
        what, repair = "a kernel without tests", "add to falsification_tests"
        yield Finding.at(contract.root, NO_TESTS, what, repair)
    elif len(contract.falsifiers) < len(obligations):
        what = f"{len(contract.falsifiers)} tests for {len(obligations)} obligations"
        repair = "add a falsifier for each obligation"
        yield Finding.at(contract.root, FEW_TESTS, what, repair)


def _gate(contract: Contract) -> Iterator[Finding]:
    if not contract.section("qa_gate"):
        repair = "say which checks have to pass"
        yield Finding.at(contract.root, "SCHEMA-013", "there is no qa_gate", repair)


def _status(contract: Contract) -> Iterator[Finding]:
    """Find what is called discharged, the last step of the ladder, without evidence."""
    claims = [contract.root.mapping()["metadata"]]
    claims += [each.entry for each in contract.falsifiers]
    for entry in claims:
        keys = entry.mapping()
        is_said = text(keys, "discharge_status", "status") == "DISCHARGED"
        if is_said and keys.keys().isdisjoint(EVIDENCE):
            what, repair = "DISCHARGED without evidence", "name a path in evidence"
            yield Finding.at(entry, UNPROVED, what, repair)


def _repeated(named: Iterable[tuple[str, Entry]]) -> Iterator[Entry]:
    """Yield the places where a name, if there is one, stands once more."""
    seen: Counter[str] = Counter()
    for name, entry in named:
        seen[name] += bool(name)
        if seen[name] > 1:
            yield entry


def _known(name: str, known: tuple[str, ...]) -> str:
    return f"known: {', '.join(known)}{near_miss(name, known)}"


def counted(found: Iterable[Finding]) -> Mapping[str, int]:
    """Return how many findings there are of each severity."""
    return Counter(str(each.severity) for each in found)
