"""What a contract has to say, and that nothing it says besides is lost."""

from pathlib import Path

import pytest

from aprhub.contracts.contract import read_contract
from aprhub.contracts.validation import validated
from tests.unit.contracts.texts import KERNEL, PATTERN, contract

FALSIFIER = PATTERN.partition("falsification_tests:\n")[2].partition("qa_gate")[0]
HARNESSES = KERNEL.partition("kani_harnesses:\n")[2].partition("\nqa_gate")[0]
OBLIGATIONS = KERNEL.partition("proof_obligations:\n")[2].partition("\nfals")[0]

BREACHES = {
    "SCHEMA-001": (PATTERN, "[docs/toy.md]", "[]", 6),
    "SCHEMA-002": (PATTERN, "version: 1.0.0", "version: ''", 1),
    "SCHEMA-003": (KERNEL, "equations:", "enforcement:", 2),
    "SCHEMA-004": (PATTERN, "out = in", "", 8),
    "SCHEMA-005": (PATTERN, "property: out is in", "property:", 11),
    "SCHEMA-006": (KERNEL, OBLIGATIONS, OBLIGATIONS * 2, 30),
    "SCHEMA-007": (PATTERN, FALSIFIER, FALSIFIER * 2, 21),
    "SCHEMA-008": (PATTERN, "prediction: out equals in", "prediction: ''", 16),
    "SCHEMA-009": (PATTERN, "  if_fails: the toy is broken\n", "", 16),
    "SCHEMA-010": (KERNEL, HARNESSES, HARNESSES * 2, 45),
    "SCHEMA-011": (KERNEL, "    obligation: every y is between 0 and 1\n", "", 41),
    "SCHEMA-012": (KERNEL, "    bound: 8\n", "", 41),
    "SCHEMA-013": (PATTERN, "qa_gate", "summary", 1),
    "SCHEMA-018": (PATTERN, "qa_gate", "qa_gate: {id: QA}\nqa_gates", 22),
    "PV-PRV-001": (KERNEL, "kani_harnesses", "enforcement", 2),
    "PV-PRV-002": (KERNEL, "falsification_tests", "enforcement", 2),
    "PV-PRV-003": (KERNEL, OBLIGATIONS, OBLIGATIONS * 2, 2),
}
"""For each rule: what to change in which contract, and the line that is blamed."""


def _rules(file: Path) -> list[str]:
    return [each.rule for each in validated(file)[1]]


def test_a_contract_that_says_everything_has_no_findings(tmp_path: Path) -> None:
    assert _rules(contract(tmp_path)) == []


def test_the_older_manner_is_read_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    read, found = validated(contract(tmp_path, KERNEL, "softmax-kernel-v1"))

    assert [(each.rule, each.severity, each.line) for each in found] == [
        ("SCHEMA-018", "warning", 54)
    ]
    assert read
    assert (read.name, read.kind, read.id) == (
        "softmax-kernel",
        "kernel",
        "softmax-kernel-v1",
    )
    (falsifier,) = read.falsifiers
    assert falsifier.rule == "outputs sum to one"
    assert falsifier.prediction == "the sum is 1"
    assert falsifier.test.startswith("cargo test")
    assert falsifier.if_fails == "the maximum is not subtracted"
    assert read.metadata["created"].value == "2026-02-04"
    assert read.section("dispatch_notes")["lanes"].value == 8
    assert "counter_example_classes" in falsifier.entry.mapping()


def test_a_registry_of_the_older_manner_is_no_kernel(tmp_path: Path) -> None:
    text = PATTERN.replace("kind: pattern", "registry: true")
    text = text.partition("equations:")[0] + "qa_gate: {id: QA}\n"

    file = contract(tmp_path, text)

    assert read_contract(file).kind == "registry"
    assert _rules(file) == []


@pytest.mark.parametrize("rule", BREACHES)
def test_each_breach_is_found_where_it_is(rule: str, tmp_path: Path) -> None:
    text, old, new, line = BREACHES[rule]
    assert text.count(old) == 1

    found = validated(contract(tmp_path, text.replace(old, new)))[1]

    assert (rule, line) in [(each.rule, each.line) for each in found]
    if text is PATTERN:
        assert [each.rule for each in found] == [rule]


def test_a_kernel_without_a_kind_is_told_that_it_was_taken_for_one(
    tmp_path: Path,
) -> None:
    text = PATTERN.replace("  kind: pattern\n", "").replace("equations", "summary")

    (found,) = (
        each
        for each in validated(contract(tmp_path, text))[1]
        if each.rule == "SCHEMA-003"
    )

    assert "was judged as a kernel" in found.message


UNREADABLE = {
    "metadata: [": (1, "this is not YAML"),
    "": (1, "the contract is empty"),
    "equations: {}": (1, "metadata is missing"),
    PATTERN.replace("- id: FALSIFY", "  id: FALSIFY"): (15, "found; write a list"),
    PATTERN.replace("id: C-TOY", "id: &a C-TOY\n  author: *a"): (3, "an alias"),
    PATTERN.replace("kind: pattern", "kind: patern"): (4, "did you mean 'pattern'?"),
    PATTERN.replace("type: invariant", "type: invarant"): (
        11,
        "did you mean 'invariant'?",
    ),
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_no_contract_is_a_finding_with_its_line(
    text: str, tmp_path: Path
) -> None:
    line, message = UNREADABLE[text]

    (found,) = validated(contract(tmp_path, text))[1]

    assert (found.rule, found.severity, found.line) == ("PV-VAL-001", "error", line)
    assert message in f"{found.message} {found.repair}"


def test_a_file_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    (found,) = validated(tmp_path / "none.yaml")[1]

    assert found.rule == "PV-VAL-001"
    assert "cannot be read as a contract" in found.message
