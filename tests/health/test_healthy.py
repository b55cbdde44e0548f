"""No false alarm: what other programs take, and what aprhub writes, is healthy."""

from pathlib import Path

import pytest

from aprhub import Registry, convert
from aprhub.health.diagnosis import Doctoring, diagnosed
from aprhub.testing.models import PICOS
from tests.health.conftest import Bases
from tests.judges import apr_checker, assets, pico
from tests.judges.packing import pack
from tests.plugins.apr import golden


def findings(path: Path, registry: Registry) -> list[tuple[str, str]]:
    diagnosis = diagnosed(path, registry, Doctoring())
    return [(each.id, each.where) for each in diagnosis.findings]


@pytest.mark.parametrize("suffix", [".apr", ".gguf", ""])
@pytest.mark.parametrize("name", PICOS)
def test_a_model_of_every_family_in_every_format(
    bases: Bases, name: str, suffix: str
) -> None:
    assert findings(bases.of(suffix, name), bases.registry) == []


@pytest.mark.parametrize("family", pico.FAMILIES)
def test_a_model_that_transformers_runs(bases: Bases, family: str) -> None:
    assert findings(pico.pico(family), bases.registry) == []


@pytest.mark.parametrize("name", ["gptq", "fp8", "bitsandbytes-nf4"])
def test_a_folder_with_packed_weights(bases: Bases, name: str, tmp_path: Path) -> None:
    pack(pico.pico("llama"), name, tmp_path / "packed", tmp_path / "plain")

    assert findings(tmp_path / "packed", bases.registry) == []


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".apr", ".gguf"])
@pytest.mark.parametrize("family", pico.FAMILIES)
def test_what_such_a_model_is_converted_to(
    bases: Bases, family: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"model{suffix}"
    convert(pico.pico(family), path, registry=bases.registry)

    assert findings(path, bases.registry) == []


@pytest.mark.parametrize("name", assets.vocabularies())
def test_a_vocabulary_of_llama_cpp(bases: Bases, name: str) -> None:
    assert findings(assets.vocabularies()[name], bases.registry) == []


def test_a_real_model(bases: Bases) -> None:
    assert findings(assets.smollm2(), bases.registry) == []


def _is_sound(verdict: golden.Verdict) -> bool:
    """Return whether the reference runs a file, and there is a model in it.

    A llama by the names of Hugging Face without a word on the order of its rows is run,
    and run wrongly; so is one whose heads do not fit, or with keys that are aliases.
    """
    name = verdict["file"]
    runs = verdict["gate"]["runnable"] and len(verdict["tensors"]) > 2
    wrong = [
        *("llama_tiny_hf", "llama_tiny_f16", "llama_tiny_sentencepiece", "alias"),
        *("bad_gqa", "no_lm_head", "s86_llama"),
    ]
    return runs and not any(each in name for each in wrong)


@pytest.mark.parametrize("verdict", golden.cases(_is_sound))
def test_a_golden_file_that_the_reference_runs(
    bases: Bases, verdict: golden.Verdict
) -> None:
    path = golden.path(verdict["file"])

    assert apr_checker.runnable(path) == []
    assert findings(path, bases.registry) == []
