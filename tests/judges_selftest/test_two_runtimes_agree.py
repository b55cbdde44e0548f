"""Both runtimes give one model's numbers, and any single mistake shows in them."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from tests.judges import hf, mistakes
from tests.judges.compare import (
    Agreement,
    Array,
    agreement,
    divergences,
    top_probabilities,
)
from tests.judges.converter import converted
from tests.judges.llama import Llama
from tests.judges.mistakes import Mistake
from tests.judges.pico import PROMPTS, QUICK_FIRST, pico

TOLERANCE = 1e-3


@lru_cache(maxsize=2)
def token_ids(family: str, prompt: str) -> tuple[int, ...]:
    return tuple(hf.tokenize(pico(family), prompt, add_special=True))


@lru_cache(maxsize=2)
def from_transformers(folder: Path, token_ids: tuple[int, ...]) -> Array:
    return hf.logits(folder, token_ids)


@lru_cache(maxsize=2)
def from_llama_cpp(gguf: Path, token_ids: tuple[int, ...]) -> Array:
    with Llama.load(gguf) as llama:
        return llama.logits(token_ids)


def compared(gguf: Path, folder: Path, ids: tuple[int, ...]) -> Agreement:
    return agreement(from_llama_cpp(gguf, ids), from_transformers(folder, ids))


@pytest.mark.parametrize("family", QUICK_FIRST)
def test_llama_cpp_and_transformers_agree_on_a_right_conversion(family: str) -> None:
    folder = pico(family)
    prompts = [token_ids(family, prompt) for prompt in PROMPTS]
    with Llama.load(converted(folder)) as llama:
        computed = [llama.logits(ids) for ids in prompts]
    found = list(map(agreement, computed, hf.logits_of(folder, prompts)))
    assert all(each.within(TOLERANCE) for each in found), found


def test_a_right_conversion_to_bf16_stays_close() -> None:
    folder = pico("qwen2", "bfloat16")
    ids = token_ids("qwen2", PROMPTS[0])
    found = from_llama_cpp(converted(folder, "bf16"), ids)
    assert divergences(found, from_transformers(folder, ids)).mean() < 1e-2


@pytest.mark.parametrize("family", QUICK_FIRST)
def test_logits_are_far_from_uniform_and_do_not_echo_the_prompt(family: str) -> None:
    ids = token_ids(family, PROMPTS[0])
    logits = from_transformers(pico(family), ids)
    assert np.mean(top_probabilities(logits) > 0.5) > 0.5
    assert np.mean(logits.argmax(-1) == ids) < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("mistake", mistakes.IN_GGUF, ids=str)
def test_one_transform_left_out_of_a_gguf_file_shows(
    mistake: Mistake, tmp_path: Path
) -> None:
    folder = pico(mistake.family)
    broken = tmp_path / "model.gguf"
    mistakes.made_in_gguf(mistake, converted(folder), broken)
    found = compared(broken, folder, token_ids(mistake.family, PROMPTS[0]))
    assert found.difference > 10 * TOLERANCE
    assert found.same_choices < 1


@pytest.mark.slow
@pytest.mark.parametrize("mistake", mistakes.IN_HF, ids=str)
def test_one_transform_left_out_of_an_hf_folder_shows(
    mistake: Mistake, tmp_path: Path
) -> None:
    folder = pico(mistake.family)
    broken = mistakes.made_in_hf(mistake, folder, tmp_path / "model")
    ids = token_ids(mistake.family, PROMPTS[0])
    found = agreement(from_transformers(broken, ids), from_transformers(folder, ids))
    assert found.difference > 10 * TOLERANCE
    assert found.same_choices < 1
