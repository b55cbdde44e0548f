"""What tokens are drawn with, in a folder; transformers is the judge."""

import json
from typing import Any

import pytest
from attrs import evolve

from aprhub.api import ModelConfig, SamplingDefaults, StoredModel, Tokenizer
from aprhub_safetensors.companions import written_texts
from aprhub_safetensors.sampling import read_sampling, revised_sampling
from tests.judges import hf
from tests.plugins.safetensors.test_config import old_config, stored

SAMPLING = SamplingDefaults(0.7, 20, 0.8, 0.05, 1.05)
GREEDY = SamplingDefaults(temperature=0)


def with_texts(sampling: SamplingDefaults, **texts: Any) -> StoredModel:
    """Return a model that came with a configuration, and with texts beside it."""
    all_texts = {"config": old_config("llama"), **texts}
    world = {f"{name}.json": json.dumps(values) for name, values in all_texts.items()}
    tokenizer = Tokenizer(json="{}", special_ids={"bos": 1, "eos": 2})
    model = stored(ModelConfig(), "llama", tokenizer=tokenizer, carried={"hf": world})
    return evolve(model, sampling=sampling)


def generation(model: StoredModel) -> dict[str, Any] | None:
    text = written_texts(model).get("generation_config.json")
    return None if text is None else json.loads(text)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, SamplingDefaults()),
        ({"eos_token_id": 2}, SamplingDefaults()),
        ({"temperature": 0.6, "top_k": None}, SamplingDefaults(temperature=0.6)),
        ({"do_sample": True, "top_k": 20}, SamplingDefaults(top_k=20)),
        ({"do_sample": False}, GREEDY),
        ({"do_sample": False, "temperature": 0.6, "top_p": 0.9}, GREEDY),
        (
            {"do_sample": False, "repetition_penalty": 1.1},
            SamplingDefaults(temperature=0, repetition_penalty=1.1),
        ),
    ],
)
def test_what_a_file_says_is_read(
    values: dict[str, Any], expected: SamplingDefaults
) -> None:
    assert read_sampling(values) == (expected, [])


def test_what_is_no_number_is_named() -> None:
    found = read_sampling({"temperature": "0.6", "top_k": 20})

    assert found == (SamplingDefaults(top_k=20), ["temperature"])


@pytest.mark.parametrize("sampling", [SAMPLING, GREEDY, SamplingDefaults(top_k=0)])
def test_what_is_written_is_read_and_transformers_takes_it(
    sampling: SamplingDefaults,
) -> None:
    values = revised_sampling({"eos_token_id": 2}, sampling)

    found = hf.transformers().GenerationConfig(**values)
    found.validate(strict=True)
    assert read_sampling(values) == (sampling, [])
    assert found.do_sample is (sampling != GREEDY)
    assert found.eos_token_id == 2
    for name, value in sampling.known().items():
        assert sampling == GREEDY or getattr(found, name) == value


@pytest.mark.parametrize(
    "sampling", [SamplingDefaults(), SamplingDefaults(temperature=0.600000023841858)]
)
def test_a_text_that_says_so_stays_to_the_letter(sampling: SamplingDefaults) -> None:
    model = with_texts(sampling, generation_config={"temperature": 0.6, "x": 1})

    texts = written_texts(model)

    assert texts["generation_config.json"] == '{"temperature": 0.6, "x": 1}'


def test_a_text_that_says_otherwise_is_put_right() -> None:
    said = {"x": 1, "do_sample": False, "top_k": 5, "repetition_penalty": 1.2}
    model = with_texts(SamplingDefaults(temperature=0.5), generation_config=said)

    assert generation(model) == {
        "x": 1,
        "do_sample": True,
        "temperature": 0.5,
        "repetition_penalty": 1.2,
    }


def test_a_text_is_made_with_its_special_ids_where_there_was_none() -> None:
    made = generation(with_texts(SAMPLING))

    assert made is not None
    assert (made["bos_token_id"], made["eos_token_id"]) == (1, 2)
    assert made["do_sample"] is True
    assert generation(with_texts(SamplingDefaults())) is None
