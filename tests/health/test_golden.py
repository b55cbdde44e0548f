"""Golden files that the reference does not run: found, and repaired until it would."""

from pathlib import Path

import pytest

from tests.judges import apr_checker
from tests.plugins.apr import golden
from tests.unit.cli.program import run

KEYS, ROPE = "DOC-KEYS-001", "DOC-ROPE-TYPE-001"
NO_TOKENIZER = "DOC-TOKENIZER-MISSING-001"

REPAIRED = {
    "qwen2_no_tokenizer": {NO_TOKENIZER},
    "qwen2_vocab_only_tokenizer": {NO_TOKENIZER},
    "qwen2_no_architecture": {"DOC-ARCHITECTURE-MISSING-001", ROPE},
    "poison_null_and_alias": {KEYS},
    "poison_two_values": {KEYS},
    "dup_exact_key": {KEYS},
    "qwen2_zero_layers": {"DOC-SIZE-WRONG-001"},
    "qwen2_vocab_mismatch": {"DOC-VOCABULARY-001"},
}
"""Files that the reference does not run for a reason that can be repaired."""

BETTER = {
    "s86_llama_arch_qwen2_tensors": {"DOC-ARCHITECTURE-WRONG-001", ROPE},
    "llama_bad_gqa": {"DOC-SIZE-WRONG-001", ROPE},
    "qwen2_tied_no_lm_head": {"DOC-TIED-HEAD-001"},
    "llama_tiny_hf": {ROPE},
    "qwen2_tiny_gguf_import_alias": {KEYS},
}
"""Files that its gate lets pass, and that would fail later or run as something else."""


def _ids(done: object) -> set[str]:
    return {each["id"] for each in done.json["findings"]}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "ids"), {**REPAIRED, **BETTER}.items())
def test_a_golden_file_is_repaired_to_what_the_reference_runs(
    name: str, ids: set[str], tmp_path: Path
) -> None:
    path, target = golden.path(f"{name}.apr"), tmp_path / "mended.apr"
    verdict = golden.verdict(f"{name}.apr")
    whole = golden.path("qwen2_tiny_hf.apr")

    done = run("doctor", path, "--tokenizer", whole, "--fix", "-o", target, "--json")

    assert verdict["gate"]["runnable"] is (name in BETTER)
    assert (done.code, _ids(done)) == (0, ids), done.err
    assert apr_checker.check(target) == []
    assert apr_checker.runnable(target) == []


def test_two_heads_that_nobody_tells_are_not_made_up(tmp_path: Path) -> None:
    path, target = golden.path("qwen2_missing_heads.apr"), tmp_path / "mended.apr"

    done = run("doctor", path, "--fix", "-o", target, "--json")

    assert (done.code, _ids(done)) == (1, {"DOC-SIZE-MISSING-001"})
    assert not target.exists()


# Numbers that are texts can be read, and an empty file is of no format.
_OTHERS = ("dims_as", "err_empty_file")


def _is_unreadable(verdict: golden.Verdict) -> bool:
    return not (verdict["reader"]["ok"] or verdict["file"].startswith(_OTHERS))


@pytest.mark.parametrize("verdict", golden.cases(_is_unreadable))
def test_a_golden_file_that_cannot_be_read_is_one_finding(
    verdict: golden.Verdict,
) -> None:
    done = run("doctor", golden.path(verdict["file"]), "--json")

    assert done.code == 1
    assert _ids(done) & {"DOC-CORRUPT-001", "DOC-KEY-TYPE-001", "DOC-CHECKSUM-001"}
