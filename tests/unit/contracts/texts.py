"""Contracts as texts: one of each kind, written as the wild writes them."""

from pathlib import Path

PATTERN = """\
metadata:
  id: C-TOY
  version: 1.0.0
  kind: pattern
  description: What goes in comes out.
  references: [docs/toy.md]
equations:
  identity:
    formula: out = in
proof_obligations:
- id: TOY-INV-001
  type: invariant
  property: out is in
  formal: forall x. f(x) = x
falsification_tests:
- id: FALSIFY-TOY-001
  rule: what goes in comes out
  prediction: out equals in
  test: pytest tests/test_toy.py::test_what_goes_in_comes_out
  if_fails: the toy is broken
qa_gate:
  id: QA-TOY
  checks: [identity]
"""

KERNEL = """\
# The older manner: dates and versions unquoted, other names of keys, no kind.
metadata:
  version: 1.2
  created: 2026-02-04
  updated: "2026-02-05"
  author: somebody
  description: >
    A kernel of
    two lines
  references: ["a paper (1995)"]
  changelog:
    - "1.2 (2026-02-05): a reason"
  lessons_learned:
    - "a lesson: with a colon"

equations:
  softmax:
    formula: |
      y_i = exp(x_i) / sum_j exp(x_j)
    lean_theorem: Theorems.Softmax
    domain: x in R^n
    runtime_check: "sum(y) == 1"

proof_obligations:
  - type: bound
    property: "every y is between 0 and 1"
    formal: "0 <= y_i <= 1"
    applies_to: all
    tolerance: 1.0e-6

falsification_tests:
  - id: FALSIFY-SM-001
    description: "outputs sum to one"
    expected: "the sum is 1"
    command: "cargo test -p kernels --lib softmax::tests::sums_to_one -- --exact"
    fails_if: "the maximum is not subtracted"
    counter_example_classes: [large inputs]
    ship_blocking: true

kani_harnesses:
  - id: KANI-SM-001
    obligation: every y is between 0 and 1
    bound: 8
    strategy: bounded_int

qa_gate:
  id: F-SM-001
  name: softmax

verification_summary:
  total_obligations: 1
  proven: 0

dispatch_notes:
  lanes: 8
"""

TESTS = '''\
"""Tests of a toy."""

import pytest

from tests.judging import Conformance, judge


def test_what_goes_in_comes_out():
    assert 1 == 1


def test_sums_of_rows_and_columns():
    judge(1)


def test_matches_the_first_input():
    with pytest.raises(ValueError):
        int("x")


@pytest.mark.skipif(True, reason="never")
def test_that_is_skipped():
    assert True


def test_that_is_empty():
    """Hold."""


def test_that_asserts_nothing():
    print(1)


@pytest.mark.parametrize("size", [1, 2])
def test_of_a_size(size):
    assert size


class TestToy(Conformance):
    def test_of_a_class(self):
        assert True
'''

JUDGING = '''\
"""What tests share."""


def judge(value):
    _really(value)


def _really(value):
    assert value


class Conformance:
    def test_that_is_inherited(self):
        assert True
'''


def tree(folder: Path, source: str = "") -> Path:
    """Write a project: tests, what they share, and a source."""
    tests = folder / "tests"
    tests.mkdir()
    (tests / "__init__.py").touch()
    (tests / "test_toy.py").write_text(TESTS)
    (tests / "test_other.py").write_text("def test_elsewhere():\n    assert True\n")
    (tests / "judging.py").write_text(JUDGING)
    (folder / "toy.py").write_text(source)
    return folder


def contract(folder: Path, text: str = PATTERN, name: str = "toy-v1") -> Path:
    """Write a contract into a folder of contracts and return the file."""
    file = folder / "contracts" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def bound_to(test: str) -> str:
    """Return the contract with another test."""
    cited = "pytest tests/test_toy.py::test_what_goes_in_comes_out"
    return PATTERN.replace(cited, f"'{test}'")
