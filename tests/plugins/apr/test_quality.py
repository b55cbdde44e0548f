"""The score of APR files is the reference's, and what lacks points can be repaired."""

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

import aprhub
from tests.judges import apr_checker
from tests.plugins.apr import golden
from tests.plugins.apr.checkpoint import written
from tests.unit.cli.program import run, succeed

POINTS: Mapping[str, Mapping[str, int]] = {
    "structural": dict.fromkeys(
        ("architecture", "hidden_size", "num_layers", "num_heads"), 5
    ),
    "provenance": {"license": 9, "data_source": 8, "data_license": 8},
    "hf_identity": {"hf_architecture": 12, "hf_model_type": 8},
}
HAS_VOCAB = 0x0200

FILLED = {
    "SPDX": "Apache-2.0",
    "TEXT": "'a corpus'",
    "CLASS": "Qwen2ForCausalLM",
    "NAME": "qwen2",
    "NUMBER": "32",
}


def expected(verdict: golden.Verdict) -> dict[str, int]:
    """Return the score by the rules, from what the manifest has of a file."""
    said = verdict["metadata"]
    score = {
        part: sum(points for key, points in keys.items() if said.get(key) is not None)
        for part, keys in POINTS.items()
    }
    flagged = bool(verdict["header"]["flags"]["bits"] & HAS_VOCAB)
    return {"physics": 20 * verdict["checksum_ok"], **score, "tokenizer": 15 * flagged}


def is_described(verdict: golden.Verdict) -> bool:
    """Return whether the reference could read header and metadata, and we can."""
    refused = ("dup_exact_key.apr", "encrypted_flag.apr")
    readable = bool(verdict.get("reader", {}).get("ok") and verdict.get("metadata"))
    old = "version_9" in verdict["file"]
    return readable and verdict["file"] not in refused and not old


@pytest.mark.parametrize("verdict", golden.cases(is_described))
def test_a_golden_file_has_the_score_that_its_header_and_metadata_give(
    verdict: golden.Verdict,
) -> None:
    found = aprhub.quality(golden.path(verdict["file"]))

    assert dict(found.breakdown) == expected(verdict)
    assert found.score == sum(expected(verdict).values())


def test_a_wrong_checksum_of_the_header_costs_all_of_physics() -> None:
    found = aprhub.quality(golden.path("err_bad_header_checksum.apr"))

    assert found.breakdown["physics"] == 0
    assert {each.repair for each in found.lacks} == {
        "get the file again from where it came"
    }


def test_stamping_its_identity_lifts_a_checkpoint_from_40_to_60(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "last.apr")
    before = aprhub.quality(path)
    tensors = apr_checker.read(path).tensors

    (recipe,) = {
        lack.repair for lack in before.lacks if lack.question.startswith("hf_")
    }
    succeed(*shlex.split(recipe)[1:])

    after = aprhub.quality(path)
    words = "--architecture qwen2 --hf-architecture Qwen2ForCausalLM"
    assert words in recipe
    assert (before.score, before.breakdown["hf_identity"]) == (40, 0)
    assert (after.score, after.breakdown["hf_identity"]) == (60, 20)
    assert apr_checker.read(path).tensors == tensors
    assert aprhub.open_model(path).config.family == "qwen2"


@pytest.mark.parametrize(
    "name",
    [
        "s86_llama_arch_qwen2_tensors.apr",
        "qwen2_tiny_gguf_import_alias.apr",
        "qwen2_no_tokenizer.apr",
        "qwen2_no_architecture.apr",
        "no_tokenizer_stamped.apr",
    ],
)
def test_the_repair_of_each_lost_point_gives_it_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    shutil.copy(golden.path(name), path)
    path.chmod(0o644)
    tokenizer = golden.path("qwen2_tiny_hf.apr")

    for lack in aprhub.quality(path).lacks:
        before = aprhub.quality(path)
        words = shlex.split(lack.repair)[1:]
        filled = [FILLED.get(word, word) for word in words]
        succeed(*(str(tokenizer) if word == "DIR" else word for word in filled))
        gone = {each.question for each in before.lacks}
        left = {each.question for each in aprhub.quality(path).lacks}
        assert lack.question not in left
        assert left < gone or lack.question not in gone

    assert aprhub.quality(path).score == 100


def test_the_exit_code_is_by_the_least_score_that_is_asked_for() -> None:
    path = golden.path("no_tokenizer_stamped.apr")

    assert run("inspect", path, "--quality", "--min-score", 92).code == 0
    assert run("inspect", path, "--quality", "--min-score", 93).code == 1
    assert run("inspect", path, "--min-score", 93).code == 2
