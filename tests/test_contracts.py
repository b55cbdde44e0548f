"""The contracts that are shipped: sound, bound, and one of each that is promised."""

from pathlib import Path

from aprhub.contracts.catalogue import SHIPPED, contracts
from aprhub.contracts.checking import DEMANDS
from aprhub.contracts.linting import LintOptions, lint

ROOT = Path(__file__).parents[1]
PROMISED = {
    *("merge-runnable", "merge-output-fidelity", "lora-forward-equivalence"),
    *("pretrain-from-init", "pretrain-arch-polymorphic", "tensor-layout"),
    *("export-gguf-interop", "checkpoint-packaging", "format-roundtrip"),
    *("naming-bijection", "finetune-single-source", "stamp-preserves-tensors"),
    *("convert-accounting", "plugin-isolation"),
}


def test_every_promised_contract_is_there() -> None:
    assert {each.name for each in contracts()} >= PROMISED
    assert set(DEMANDS) <= PROMISED


def test_every_falsifier_is_bound_to_a_test_that_is_there_and_judges() -> None:
    found = lint(SHIPPED, LintOptions(ROOT, strict=True, binding=True))

    assert list(map(str, found.findings)) == []
    assert found.unjudged == 0
    assert dict(found.judged).keys() == {"pytest"}


def test_every_reference_of_a_contract_is_a_file() -> None:
    named = (
        entry.text()
        for contract in contracts()
        for entry in contract.metadata["references"].items()
    )

    assert [each for each in named if not (ROOT / each).is_file()] == []
