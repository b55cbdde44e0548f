"""The llama.cpp judge opens good files, refuses bad ones and repeats itself."""

from pathlib import Path

import numpy as np
import pytest

from tests.judges import assets, gguf_c, hf
from tests.judges.corpus import STRINGS
from tests.judges.errors import JudgeError
from tests.judges.llama import Llama

QUESTION = "The capital of France is"


def test_a_real_model_answers_a_question_of_fact() -> None:
    with Llama.load(assets.smollm2()) as llama:
        logits = llama.logits(llama.tokenize(QUESTION))
        answer = llama.vocabulary[logits[-1].argmax()]
    assert logits.shape == (5, 49152)
    assert answer == "ĠParis"


def test_the_same_prompt_gives_the_same_bits_whatever_came_before() -> None:
    with Llama.load(assets.smollm2()) as llama:
        ids = llama.tokenize(QUESTION)
        first = llama.logits(ids)
        llama.logits(llama.tokenize("Something else came in between."))
        assert np.array_equal(first, llama.logits(ids))


def test_earlier_positions_do_not_depend_on_later_ones() -> None:
    with Llama.load(assets.smollm2()) as llama:
        ids = llama.tokenize(QUESTION)
        whole, part = llama.logits(ids), llama.logits(ids[:3])
    assert np.abs(whole[:3] - part).max() < 1e-3 * np.ptp(whole)


def test_a_truncated_file_is_refused_in_the_words_of_llama_cpp(tmp_path: Path) -> None:
    broken = tmp_path / "cut.gguf"
    broken.write_bytes(assets.smollm2().read_bytes()[:-100_000])
    with pytest.raises(JudgeError, match="not within the file bounds"):
        Llama.load(broken)


def test_the_container_reader_refuses_what_is_no_gguf_file(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"APR\0" + bytes(100))
    with pytest.raises(JudgeError, match="invalid magic"):
        gguf_c.tensors(other)


def test_the_container_reader_places_every_tensor_inside_the_file() -> None:
    path = assets.smollm2()
    placed = gguf_c.tensors(path)
    embedding = next(each for each in placed if each.name == "token_embd.weight")
    assert embedding.shape == (49152, 576)
    assert all(each.offset + each.size <= path.stat().st_size for each in placed)


def test_a_vocabulary_alone_tokenizes_but_does_not_compute() -> None:
    with Llama.load(assets.smollm2(), vocab_only=True) as llama:
        assert llama.tokenize("<|im_end|>") == [2]
        assert len(llama.tokenize("<|im_end|>", special=False)) > 1
        with pytest.raises(JudgeError, match="without its weights"):
            llama.logits([1])


def test_a_prompt_longer_than_the_context_is_refused() -> None:
    with (
        Llama.load(assets.smollm2(), n_ctx=64) as llama,
        pytest.raises(JudgeError, match="1 to 64"),
    ):
        llama.logits([1] * 65)


@pytest.mark.parametrize("special", [True, False])
def test_llama_cpp_and_tokenizers_agree_on_hard_strings(special: bool) -> None:
    folder = assets.tokenizer("llama3_1")
    with Llama.load(assets.vocabularies()["llama-bpe"], vocab_only=True) as llama:
        found = [llama.tokenize(text, special=special) for text in STRINGS]
    assert found == [hf.tokenize(folder, text, special=special) for text in STRINGS]
