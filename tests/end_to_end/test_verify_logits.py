"""Verification by logits: the decoder, and programs that are asked."""

from pathlib import Path

import pytest

import aprhub
from aprhub.api import StoredModel
from aprhub.errors import EnvironmentFailureError, UsageError
from aprhub.judges import hf, llama_api
from aprhub.verification.logits import JUDGED, TOLERANCE
from aprhub.verification.verdict import Verification
from tests.end_to_end.planting import Draft, written
from tests.end_to_end.roads import convert
from tests.judges import deep
from tests.judges.mistakes import IN_GGUF, Mistake, made_in_gguf
from tests.judges.pico import pico
from tests.unit.cli.program import succeed

BOTH = ("llama.cpp", "transformers")


def judged(source: Path, target: Path, *judges: str) -> Verification:
    options = aprhub.VerifyOptions(level="logits", against=judges)
    return aprhub.verify(source, target, options)


@pytest.mark.parametrize("family", ["mixtral", "phi3-long"])
def test_both_programs_compute_what_the_decoder_does(
    family: str, tmp_path: Path
) -> None:
    target = written(pico(family), tmp_path / "m.gguf")

    found = judged(pico(family), target, *BOTH)

    assert found.findings == ()
    sides = [(each.expected, each.found, each.tolerance) for each in found.logits]
    assert sides == [
        ("aprhub", "aprhub", TOLERANCE),
        ("aprhub", "llama.cpp", JUDGED),
        ("transformers", "aprhub", JUDGED),
    ]
    assert all(each.difference < 1e-5 for each in found.logits)


@pytest.mark.parametrize("mixture", ["q8_0", "q4_k_m"])
def test_a_quantised_model_is_judged_by_what_the_source_becomes(
    mixture: str, tmp_path: Path
) -> None:
    convert(deep.deep("odd"), tmp_path / "q.gguf", quantize=mixture, verify=None)

    found = judged(deep.deep("odd"), tmp_path / "q.gguf", "llama.cpp")

    assert found.findings == ()
    assert found.logits[0].difference <= TOLERANCE
    assert found.logits[1].found == "llama.cpp"


@pytest.mark.parametrize(
    "mistake", [each for each in IN_GGUF if each.family == "llama-spm"][1:3], ids=str
)
def test_a_mistake_shows_in_the_logits_of_every_program(
    mistake: Mistake, tmp_path: Path
) -> None:
    right = written(pico("llama-spm"), tmp_path / "right.gguf")
    wrong = made_in_gguf(mistake, right, tmp_path / "wrong.gguf")

    found = judged(pico("llama-spm"), wrong, *BOTH)

    assert [each.cause for each in found.findings][1:] == ["logits"] * 3


def test_a_target_with_fewer_tokens_is_no_defect_of_the_program(
    tmp_path: Path,
) -> None:
    def cut(draft: Draft) -> StoredModel:
        return draft.with_values("embed.weight", lambda rows: rows[:-200])

    wrong = written(pico("llama-spm"), tmp_path / "wrong.gguf", cut)

    found = judged(pico("llama-spm"), wrong)

    assert found.findings[0].cause == "padded"


def test_a_conversion_can_be_verified_by_logits(tmp_path: Path) -> None:
    target = tmp_path / "m.apr"

    text = succeed("convert", pico("llama-spm"), target, "--verify=logits").out

    assert "verified by logits" in text


def test_a_program_that_can_run_neither_model_is_wrong_usage(tmp_path: Path) -> None:
    target = written(pico("llama-spm"), tmp_path / "m.apr")

    with pytest.raises(UsageError, match="it runs gguf, found safetensors and apr"):
        judged(pico("llama-spm"), target, "llama.cpp")


def test_without_its_program_a_judge_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = written(pico("llama-spm"), tmp_path / "m.gguf")
    hf.transformers.cache_clear()
    llama_api.library.cache_clear()
    for module in (hf, llama_api):
        monkeypatch.setattr(module, "find_spec", lambda _name: None)

    for judge, line in (
        ("llama.cpp", f"pip install xllamacpp=={llama_api.RELEASE}"),
        ("transformers", r"pip install 'aprhub\[judges\]'"),
    ):
        with pytest.raises(EnvironmentFailureError, match=line):
            judged(pico("llama-spm"), target, judge)
