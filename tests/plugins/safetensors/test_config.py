"""Configurations: both spellings are read alike; transformers reads what is made."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import transformers
from attrs import evolve

from aprhub.api import (
    CorruptFileError,
    Document,
    Family,
    Identity,
    ModelConfig,
    RopeScaling,
    StoredModel,
    Tokenizer,
    UnrepresentableError,
    UnsupportedFileError,
)
from aprhub_families import provide_families
from aprhub_safetensors.companions import written_texts
from aprhub_safetensors.config import read_config

FAMILIES: dict[str, Family] = {each.name: each for each in provide_families()}

YARN = {"original_max_position_embeddings": 1024}

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 300,
    "max_position_embeddings": 4096,
}
LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 2048,
}
SLIDING, FULL = "sliding_attention", "full_attention"

OLD: dict[str, dict[str, Any]] = {
    "llama": {
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "rope_theta": 500000.0,
        "rope_scaling": {"rope_type": "llama3", **LLAMA3},
        "attention_bias": True,
        "mlp_bias": True,
        "tie_word_embeddings": True,
    },
    "mistral": {"rms_norm_eps": 1e-5, "rope_theta": 1e6, "sliding_window": 512},
    "qwen2": {
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 1024,
        },
        "use_sliding_window": True,
        "sliding_window": 128,
        "max_window_layers": 1,
    },
    "qwen3": {
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "attention_bias": True,
        "use_sliding_window": False,
        "sliding_window": 128,
        "max_window_layers": 28,
    },
    "gemma3": {
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "rope_local_base_freq": 20000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 24,
        "sliding_window": 64,
        "sliding_window_pattern": 2,
        "final_logit_softcapping": 30.0,
    },
}
"""What the `config.json` of each family said up to transformers 4."""

SAID: dict[str, dict[str, Any]] = {
    "llama": {
        "norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "rope_scaling": RopeScaling("llama3", 8.0, 2048, 1.0, 4.0),
        "attention_bias": True,
        "mlp_bias": True,
        "tie_embeddings": True,
        "sliding_window": None,
    },
    "mistral": {"sliding_window": 512, "layer_kinds": None, "rope_theta": 1e6},
    "qwen2": {
        "rope_scaling": RopeScaling("yarn", 4.0, 1024),
        "sliding_window": 128,
        "layer_kinds": ("full", "sliding", "sliding"),
    },
    "qwen3": {"sliding_window": None, "layer_kinds": None, "attention_bias": True},
    "gemma3": {
        "rope_theta": 1e6,
        "rope_local_theta": 20000.0,
        "rope_scaling": RopeScaling("linear", 8.0),
        "activation": "gelu_pytorch_tanh",
        "query_scale": 24,
        "sliding_window": 64,
        "layer_kinds": ("sliding", "full", "sliding"),
        "final_softcap": 30.0,
    },
}
"""What that means in canonical words."""


def old_config(family: str) -> dict[str, Any]:
    names = FAMILIES[family]
    return {
        "architectures": [names.hf_classes[0]],
        "model_type": names.hf_model_types[0],
        **SIZES,
        **OLD[family],
    }


def read(values: dict[str, Any]) -> ModelConfig:
    return read_config(Document(Path("config.json"), values)).config


def as_transformers_says(folder: Path, values: dict[str, Any]) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    return transformers.AutoConfig.from_pretrained(folder)


def as_transformers_saves(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    as_transformers_says(folder, values).save_pretrained(folder / "new")
    saved: dict[str, Any] = json.loads((folder / "new" / "config.json").read_text())
    return saved


def stored(config: ModelConfig, family: str, **fields: Any) -> StoredModel:
    return StoredModel(
        "safetensors", Path("m"), {}, config, family=FAMILIES[family], **fields
    )


def made(config: ModelConfig, family: str, **fields: Any) -> dict[str, Any]:
    text = written_texts(stored(config, family, **fields))["config.json"]
    values: dict[str, Any] = json.loads(text)
    return values


@pytest.mark.parametrize("family", OLD)
def test_the_old_spelling_is_read(family: str) -> None:
    found = read(old_config(family))

    sizes = (found.hidden_size, found.num_layers, found.num_heads, found.num_kv_heads)
    assert sizes == (64, 3, 4, 2)
    assert (found.head_dim, found.vocab_size, found.intermediate_size) == (32, 300, 96)
    assert {name: getattr(found, name) for name in SAID[family]} == SAID[family]


@pytest.mark.parametrize("family", OLD)
def test_the_new_spelling_means_the_same(tmp_path: Path, family: str) -> None:
    saved = as_transformers_saves(tmp_path, old_config(family))

    found = read(saved)

    assert "rope_theta" not in saved
    assert {name: getattr(found, name) for name in SAID[family]} == SAID[family]


@pytest.mark.parametrize("family", OLD)
def test_transformers_reads_what_is_made_as_the_original(
    tmp_path: Path, family: str
) -> None:
    original = as_transformers_says(tmp_path / "original", old_config(family))

    text = made(read(old_config(family)), family)
    again = as_transformers_says(tmp_path / "made", text)

    ignored = {"bos_token_id", "eos_token_id", "pad_token_id", "_name_or_path"}
    meant, found = original.to_dict(), again.to_dict()
    differing = {
        key: (meant.get(key), found.get(key))
        for key in (meant.keys() | found.keys()) - ignored
        if meant.get(key) != found.get(key)
    }
    assert type(again) is type(original)
    assert differing.keys() <= {"use_cache", "_sliding_window_pattern"}


@pytest.mark.parametrize("family", OLD)
def test_what_is_made_is_read_back(family: str) -> None:
    config = read(old_config(family))

    again = read(made(config, family))

    assert again == config


@pytest.mark.parametrize("family", OLD)
@pytest.mark.parametrize("indent", [None, 1, 4])
def test_an_unchanged_text_stays_as_it_is(family: str, indent: int | None) -> None:
    text = json.dumps(old_config(family), indent=indent)
    model = stored(
        evolve(read(old_config(family)), family=family),
        family,
        carried={"hf": {"config.json": text}},
    )

    assert written_texts(model)["config.json"] == text


def test_defaults_filled_in_on_the_way_do_not_change_a_text() -> None:
    values = {"model_type": "gemma3_text", "num_attention_heads": 4, "hidden_size": 64}
    text = json.dumps({**values, "query_pre_attn_scalar": 168})
    config = evolve(
        read(values),
        query_scale=256,
        activation="gelu_pytorch_tanh",
        rope_theta=1e6,
    )

    kept = written_texts(
        stored(config, "gemma3", carried={"hf": {"config.json": text}})
    )

    assert kept["config.json"] == text


def test_a_pattern_of_the_family_filled_in_does_not_change_a_text() -> None:
    values = {**old_config("gemma3"), "num_hidden_layers": 6}
    del values["sliding_window_pattern"]
    kinds = ("sliding",) * 5 + ("full",)
    carried = {"hf": {"config.json": json.dumps(values)}}

    found = made(evolve(read(values), layer_kinds=kinds), "gemma3", carried=carried)

    assert found == values


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"vocab_size": 320}, {"vocab_size": 320}),
        ({"tie_embeddings": False}, {"tie_word_embeddings": False}),
        ({"norm_eps": 1e-3}, {"rms_norm_eps": 1e-3}),
        (
            {"rope_theta": 7.0},
            {"rope_theta": 7.0, "rope_scaling": {"rope_type": "llama3", **LLAMA3}},
        ),
    ],
)
def test_a_changed_field_changes_its_key_alone(
    change: dict[str, Any], expected: dict[str, Any]
) -> None:
    values = old_config("llama")
    carried = {"hf": {"config.json": json.dumps(values)}}
    config = evolve(read(values), **change)

    found = made(config, "llama", carried=carried)

    assert found == {**values, **expected}


def test_a_changed_field_is_set_where_the_new_spelling_has_it(tmp_path: Path) -> None:
    values = as_transformers_saves(tmp_path, old_config("gemma3"))
    carried = {"hf": {"config.json": json.dumps(values)}}
    config = evolve(read(values), rope_local_theta=5000.0)

    found = read(made(config, "gemma3", carried=carried))

    assert found == config


def test_fewer_layers_have_fewer_kinds(tmp_path: Path) -> None:
    values = as_transformers_saves(tmp_path, old_config("gemma3"))
    carried = {"hf": {"config.json": json.dumps(values)}}
    config = evolve(read(values), num_layers=2, layer_kinds=("sliding", "full"))

    found = made(config, "gemma3", carried=carried)

    assert found["layer_types"] == [SLIDING, FULL]
    assert found["num_hidden_layers"] == 2


def test_another_architecture_is_put_right() -> None:
    carried = {"hf": {"config.json": json.dumps(old_config("llama"))}}
    config = read(old_config("mistral"))

    found = made(config, "mistral", carried=carried)

    assert found["architectures"] == ["MistralForCausalLM"]
    assert found["model_type"] == "mistral"


@pytest.mark.parametrize(
    ("values", "window"),
    [
        ({"model_type": "mistral"}, 4096),
        ({"model_type": "mistral", "sliding_window": None}, None),
        ({"model_type": "mistral", "sliding_window": 7}, 7),
        ({"model_type": "qwen2", "sliding_window": 7}, None),
        ({"model_type": "qwen2", "use_sliding_window": True}, 4096),
        ({"model_type": "llama"}, None),
    ],
)
def test_an_absent_window_is_what_the_class_assumes(
    values: dict[str, Any], window: int | None
) -> None:
    assert read(values).sliding_window == window


def test_no_window_is_said_aloud_to_a_class_that_assumes_one() -> None:
    config = ModelConfig(identity=Identity(hf_model_type="mistral"))

    assert made(config, "mistral")["sliding_window"] is None


def test_frequency_factors_become_a_longrope_and_come_back() -> None:
    factors = (1.0, 1.5, 2.0)
    scaling = RopeScaling("factors", short_factor=factors, long_factor=factors)
    config = ModelConfig(max_position_embeddings=64, rope_scaling=scaling)

    values = made(config, "llama")

    assert values["rope_scaling"] == {
        "rope_type": "longrope",
        "original_max_position_embeddings": 64,
        "attention_factor": 1.0,
        "short_factor": [1.0, 1.5, 2.0],
        "long_factor": [1.0, 1.5, 2.0],
    }
    assert read(values).rope_scaling == scaling


@pytest.mark.parametrize(("said", "meant"), [(True, True), (False, None)])
def test_looking_one_way_is_nothing_to_say(said: bool, meant: bool | None) -> None:
    values = {**old_config("gemma3"), "use_bidirectional_attention": said}
    assert read(values).bidirectional is meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"is_causal": False}, True),
        ({"is_causal": None}, True),
        ({"is_causal": True}, None),
        ({"use_bidirectional_attention": True}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral"])
def test_a_class_looks_both_ways_where_it_is_not_causal(
    family: str, said: dict[str, Any], meant: bool | None
) -> None:
    config = read({**old_config(family), **said})

    assert config.bidirectional is meant
    assert made(config, family).get("is_causal") is (False if meant else None)


def test_a_scaling_without_its_numbers_is_not_written() -> None:
    config = evolve(read(old_config("llama")), rope_scaling=RopeScaling("longrope"))
    with pytest.raises(UnrepresentableError, match="longrope without short_factor"):
        made(config, "llama")


def test_a_key_that_moves_windows_is_refused() -> None:
    with pytest.raises(CorruptFileError, match="is_causal: found False, expected true"):
        read({**old_config("gemma3"), "is_causal": False})


def test_layers_with_values_of_their_own_are_refused() -> None:
    values = {**old_config("llama"), "per_layer_config": {"1": {"rms_norm_eps": 0.1}}}
    with pytest.raises(UnsupportedFileError, match="per_layer_config lets layers"):
        read(values)
    assert read({**values, "per_layer_config": {}}).norm_eps == 1e-5


def test_the_numbers_of_yarn_mean_nothing_to_other_kinds() -> None:
    section = {"rope_type": "linear", "factor": 4.0, "mscale": 2.0, "mscale_all_dim": 1}
    values = {**old_config("llama"), "rope_scaling": section}
    assert read(values).rope_scaling == RopeScaling("linear", 4.0)


@pytest.mark.parametrize(
    "further",
    [
        {"mscale": 0.8, "mscale_all_dim": 0.5},
        {"mscale": 1.0, "mscale_all_dim": 1.0},
        {"mscale": 0.8, "mscale_all_dim": 0.5, "factor": 0.5},
        {"mscale": 0.8, "mscale_all_dim": 0.5, "attention_factor": 1.3},
        {"mscale": 0.8},
        {"attention_factor": 1.3, "truncate": False},
        {"truncate": True, "beta_slow": 2.0},
    ],
)
def test_what_yarn_scales_attention_by_is_what_transformers_works_out(
    tmp_path: Path, further: dict[str, Any]
) -> None:
    section = {"rope_type": "yarn", "factor": 4.0, **YARN, **further}
    values = {**old_config("llama"), "rope_scaling": section}
    init = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS["yarn"]

    scaling = read(values).rope_scaling

    assert scaling
    _, factor = init(as_transformers_says(tmp_path, values), "cpu")
    default = 1 + 0.1 * math.log(max(section["factor"], 1.0))
    assert (scaling.attention_factor or default) == pytest.approx(factor, rel=1e-12)
    assert scaling.truncate is (False if section.get("truncate") is False else None)
    again = made(read(values), "llama")["rope_scaling"]
    assert read({**values, "rope_scaling": again}).rope_scaling == scaling


@pytest.mark.parametrize(
    ("said", "kind"), [("linear", "linear"), ("su", "longrope"), ("default", None)]
)
def test_the_oldest_names_of_scaling_are_read(said: str, kind: str | None) -> None:
    lists = {"short_factor": [1.0], "long_factor": [2.0]}
    values = {
        "model_type": "llama",
        "rope_scaling": {"type": said, "factor": 2, **lists},
    }

    scaling = read(values).rope_scaling

    assert (scaling.kind if scaling else None) == kind


def test_an_unknown_class_keeps_its_scaling() -> None:
    scaling = {"rope_type": "proportional", "factor": 2.0}
    values = {"model_type": "quux", "rope_scaling": scaling}

    assert read(values).rope_scaling == RopeScaling("proportional", 2.0)


def test_the_text_part_of_a_wider_model_is_read_and_revised() -> None:
    values = {
        "model_type": "gemma3_text",
        "vision_config": {"hidden_size": 7},
        "text_config": {"hidden_size": 64, "vocab_size": 300},
    }
    config = read(values)
    carried = {"hf": {"config.json": json.dumps(values)}}

    found = made(evolve(config, vocab_size=320), "gemma3", carried=carried)

    assert (config.hidden_size, config.vocab_size) == (64, 300)
    assert found["text_config"]["vocab_size"] == 320
    assert "vocab_size" not in found


def test_every_key_has_a_fate() -> None:
    values = {**old_config("llama"), "initializer_range": 0.02}

    fates = read_config(Document(Path("config.json"), values)).fates

    by_key = {each.key.removeprefix("config.json/"): each.fate for each in fates}
    assert by_key.keys() == values.keys()
    assert by_key["hidden_size"] == "kept"
    assert by_key["num_hidden_layers"] == "renamed"
    assert by_key["rope_scaling"] == "transformed"
    assert by_key["initializer_range"] == "carried"


def test_a_tokenizer_config_is_made_beside_a_configuration_that_has_none() -> None:
    carried = {"hf": {"config.json": json.dumps(old_config("llama"))}}
    tokenizer = Tokenizer(json="{}", chat_template="{{ x }}")
    config = read(old_config("llama"))

    texts = written_texts(stored(config, "llama", tokenizer=tokenizer, carried=carried))

    assert json.loads(texts["tokenizer_config.json"])["chat_template"] == "{{ x }}"
    assert "generation_config.json" not in texts
    alone = written_texts(stored(config, "llama", carried=carried))
    assert "tokenizer_config.json" not in alone


def test_a_made_tokenizer_config_says_the_tokens_and_the_template() -> None:
    content = {
        "added_tokens": [{"id": 1, "content": "<s>"}, {"id": 2, "content": "</s>"}],
        "model": {"type": "BPE", "vocab": {"a": 0, "<pad>": 5}},
    }
    tokenizer = Tokenizer(
        json=json.dumps(content),
        special_ids={"bos": 1, "eos": 2, "eot": 3, "pad": 5},
        add_bos=True,
        chat_template="{{ x }}",
        chat_templates={"tool": "{{ y }}"},
    )

    texts = written_texts(stored(ModelConfig(), "llama", tokenizer=tokenizer))

    config = json.loads(texts["tokenizer_config.json"])
    assert config == {
        "add_bos_token": True,
        "bos_token": "<s>",
        "chat_template": [
            {"name": "default", "template": "{{ x }}"},
            {"name": "tool", "template": "{{ y }}"},
        ],
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    generation = json.loads(texts["generation_config.json"])
    assert generation == {"bos_token_id": 1, "eos_token_id": [2, 3], "pad_token_id": 5}
    assert json.loads(texts["config.json"])["eos_token_id"] == 2
