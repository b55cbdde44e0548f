"""GGUF's hyper-parameters in the hub's words, there and back."""

import math
import struct
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from gguf import GGUFReader

from aprhub.api import CorruptFileError, Identity, ModelConfig, RopeScaling
from tests.health.raw import open_gguf as raw_parts
from tests.health.raw import write_gguf
from tests.plugins.gguf.disk import opened, reopened, written
from tests.plugins.gguf.models import CONFIG, model, packed, tensors
from tests.plugins.gguf.raw import (
    BOOL,
    F32,
    F64,
    I32,
    LLAMA,
    STRING,
    U16,
    U32,
    U64,
    Entry,
    File,
    array,
    entry,
)


def read(tmp_path: Path, *more: Entry, without: tuple[str, ...] = ()) -> Any:
    """Open the small model with entries changed."""
    new = {each[0] for each in more} | {key.encode() for key in without}
    kept = [each for each in LLAMA if each[0] not in new]
    return opened(File((*kept, *more)).write(tmp_path / "a.gguf"))


def keys_of(path: Path) -> dict[str, Any]:
    return {key: each.contents() for key, each in GGUFReader(path).fields.items()}


def test_keys_become_hyper_parameters(tmp_path: Path) -> None:
    config = read(tmp_path).config

    assert config == ModelConfig(
        identity=Identity("llama"),
        hidden_size=64,
        num_layers=1,
        num_heads=4,
        num_kv_heads=2,
        head_dim=16,
        vocab_size=4,
        intermediate_size=96,
        max_position_embeddings=128,
        norm_eps=1e-5,
        rope_theta=10000.0,
    )


def test_an_f32_is_the_shortest_decimal_that_gives_it(tmp_path: Path) -> None:
    model = read(tmp_path, entry("llama.rope.freq_base", F32, 1e6))

    assert model.config.norm_eps == 1e-5
    assert model.config.rope_theta == 1e6


@pytest.mark.parametrize("kind", [U16, I32, U64])
def test_another_width_is_read_and_noted(tmp_path: Path, kind: int) -> None:
    model = read(tmp_path, entry("llama.block_count", kind, 1))

    assert model.config.num_layers == 1
    assert any("llama.block_count: stored as" in note for note in model.notes)


def test_a_double_is_read_and_noted(tmp_path: Path) -> None:
    key = "llama.attention.layer_norm_rms_epsilon"

    model = read(tmp_path, entry(key, F64, 1e-6))

    assert model.config.norm_eps == 1e-6
    assert model.notes == (f"{key}: stored as f64, usually f32",)


def test_equal_counts_for_all_layers_are_one_count(tmp_path: Path) -> None:
    layers = entry("llama.block_count", U32, 3)
    widths = array("llama.feed_forward_length", U32, [96, 96, 96])

    assert read(tmp_path, layers, widths).config.intermediate_size == 96


def test_counts_that_differ_between_layers_are_carried(tmp_path: Path) -> None:
    layers = entry("llama.block_count", U32, 2)
    heads = array("llama.attention.head_count_kv", I32, [2, 4])

    found = read(tmp_path, layers, heads)
    again = reopened(found, tmp_path)

    carried = {"type": "array", "of": "i32", "value": [2, 4]}
    assert found.config.num_kv_heads is None
    assert found.carried["gguf"]["llama.attention.head_count_kv"] == carried
    assert again.carried == found.carried


def test_absent_keys_mean_what_llama_cpp_derives(tmp_path: Path) -> None:
    absent = ("llama.attention.head_count_kv", "llama.vocab_size")

    config = read(tmp_path, without=absent).config

    assert config.num_kv_heads == config.num_heads == 4
    assert config.head_dim == 16
    assert config.vocab_size == 4


def test_the_length_of_a_key_is_the_size_of_a_head(tmp_path: Path) -> None:
    lengths = [
        entry(f"llama.{name}", U32, 24)
        for name in (
            "attention.key_length",
            "attention.value_length",
            "rope.dimension_count",
        )
    ]

    found = read(tmp_path, *lengths)

    assert found.config.head_dim == 24
    assert found.carried == {}
    assert reopened(found, tmp_path).config.head_dim == 24


def test_a_key_that_says_nothing_new_is_kept(tmp_path: Path) -> None:
    found = read(tmp_path, entry("llama.attention.key_length", U32, 16))
    (path,) = written(found, tmp_path / "again.gguf")
    wider = evolve(found, config=evolve(found.config, hidden_size=128, head_dim=32))
    (other,) = written(wider, tmp_path / "wider.gguf")

    assert keys_of(path)["llama.attention.key_length"] == 16
    assert "llama.attention.value_length" not in keys_of(path)
    assert keys_of(other)["llama.attention.key_length"] == 32


def test_partly_rotary_heads_are_carried(tmp_path: Path) -> None:
    found = read(tmp_path, entry("llama.rope.dimension_count", U32, 8))
    (path,) = written(found, tmp_path / "again.gguf")

    assert found.config.head_dim == 16
    assert keys_of(path)["llama.rope.dimension_count"] == 8


def test_no_output_means_tied(tmp_path: Path) -> None:
    head = {**tensors(), "output.weight": packed("f32", 6, 64)}

    assert reopened(model(), tmp_path).config.tie_embeddings is True
    assert reopened(model(head), tmp_path).config.tie_embeddings is False
    assert read(tmp_path).config.tie_embeddings is None


@pytest.mark.parametrize(
    "scaling",
    [
        RopeScaling("linear", 4.0),
        RopeScaling("yarn", 4.0, 32768),
        RopeScaling(
            "yarn", 4.0, 32768, attention_factor=1.5, beta_fast=32.0, beta_slow=1.0
        ),
        RopeScaling("longrope", None, 4096, attention_factor=1.25),
        RopeScaling("longrope", 8.0, 4096, short_factor=(1.0, 2.5), long_factor=(4.0,)),
        RopeScaling("llama3", 8.0, 8192, 1.0, 4.0),
        RopeScaling("yarn", 4.0, 32768, attention_factor=1.1386294361119891),
        RopeScaling("dynamic", 2.0),
        RopeScaling("yarn", 4.0, 32768, beta_slow=2.0, truncate=False),
    ],
    ids=lambda each: each.kind,
)
def test_rope_scaling_comes_back(tmp_path: Path, scaling: RopeScaling) -> None:
    source = model(config=evolve(CONFIG, rope_scaling=scaling))

    assert reopened(source, tmp_path).config.rope_scaling == scaling


@pytest.mark.parametrize("kind", ["linear", "yarn", "longrope"])
def test_scaling_is_written_under_its_keys(tmp_path: Path, kind: str) -> None:
    scaling = RopeScaling(kind, 4.0, 4096)
    (path,) = written(
        model(config=evolve(CONFIG, rope_scaling=scaling)), tmp_path / "a"
    )

    keys = keys_of(path)

    assert keys["llama.rope.scaling.type"] == kind
    assert ("llama.rope.scaling.factor" in keys) == (kind != "longrope")


def test_what_yarn_scales_attention_by_is_written_as_llama_cpp_takes_it(
    tmp_path: Path,
) -> None:
    scaling = RopeScaling("yarn", 4.0, 4096, attention_factor=1.3)
    source = model(config=evolve(CONFIG, rope_scaling=scaling))
    (path,) = written(source, tmp_path / "a.gguf")

    keys = keys_of(path)

    own = 1 + 0.1 * math.log(4)
    assert keys["llama.rope.scaling.yarn_attn_factor"] == pytest.approx(1.3)
    assert keys["llama.rope.scaling.attn_factor"] == pytest.approx(1.3 / own)
    assert "aprhub.config" not in keys


@pytest.mark.parametrize("documented", [None, 1.7])
def test_the_factor_that_llama_cpp_takes_is_the_one_that_counts(
    tmp_path: Path, documented: float | None
) -> None:
    entries = [
        entry("llama.rope.scaling.type", STRING, "yarn"),
        entry("llama.rope.scaling.factor", F32, 4.0),
        entry("llama.rope.scaling.attn_factor", F32, 1.5),
    ]
    if documented:
        key = "llama.rope.scaling.yarn_attn_factor"
        entries.append(entry(key, F32, documented))

    scaling = read(tmp_path, *entries).config.rope_scaling

    assert scaling.attention_factor == pytest.approx(1.5 * (1 + 0.1 * math.log(4)))


def test_a_scaling_that_is_a_tensor_is_not_said_again(tmp_path: Path) -> None:
    scaling = RopeScaling("factors", short_factor=(1.0,), long_factor=(2.0,))
    source = model(config=evolve(CONFIG, rope_scaling=scaling))
    (path,) = written(source, tmp_path / "a.gguf")

    assert "aprhub.config" not in keys_of(path)


def test_a_factor_alone_is_linear(tmp_path: Path) -> None:
    found = read(tmp_path, entry("llama.rope.scaling.factor", F32, 2.0))

    assert found.config.rope_scaling == RopeScaling("linear", 2.0)


@pytest.mark.parametrize(("said", "meant"), [(4.0, 4.0), (1.0, None), (0.0, None)])
def test_a_factor_under_its_old_key_is_linear(
    tmp_path: Path, said: float, meant: float | None
) -> None:
    found = read(tmp_path, entry("llama.rope.scale_linear", F32, said))

    scaling = found.config.rope_scaling
    assert scaling == (RopeScaling("linear", meant) if meant else None)
    (path,) = written(found, tmp_path / "again.gguf")
    keys = {"llama.rope.scaling.factor": meant, "llama.rope.scale_linear": said}
    left = {key: keys_of(path).get(key) for key in keys}
    assert left == ({**keys, "llama.rope.scale_linear": None} if meant else keys)


def test_a_newer_factor_counts_and_not_the_old_one(tmp_path: Path) -> None:
    old, new = entry("llama.rope.scale_linear", F32, 2.0), 4.0
    found = read(tmp_path, old, entry("llama.rope.scaling.factor", F32, new))

    assert found.config.rope_scaling == RopeScaling("linear", new)


@pytest.mark.parametrize(("causal", "meant"), [(False, True), (True, None)])
def test_tokens_may_see_those_behind_them(
    tmp_path: Path, causal: bool, meant: bool | None
) -> None:
    found = read(tmp_path, entry("llama.attention.causal", BOOL, causal))

    assert found.config.bidirectional is meant
    (path,) = written(found, tmp_path / "again.gguf")
    assert keys_of(path)["llama.attention.causal"] is causal


def test_windows_that_llama_cpp_does_not_heed_are_no_hindrance(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "sliding_window": 8,
        "layer_kinds": ("sliding",),
        "bidirectional": True,
    }
    config = evolve(CONFIG, **changes)
    (path,) = written(model(config=config), tmp_path / "a.gguf")

    assert keys_of(path)["llama.attention.causal"] is False
    assert opened(path).config.bidirectional is True


def test_windows_that_only_llama_cpp_has_are_refused(tmp_path: Path) -> None:
    (path,) = written(model(config=gemma()), tmp_path / "a.gguf")
    parts = raw_parts(path)
    parts.put("gemma3.attention.causal", struct.pack("<I?", 7, False))
    write_gguf(parts, path)

    with pytest.raises(CorruptFileError, match="expected true, since layers slide"):
        opened(path)


def test_no_scaling_is_carried_as_it_is_said(tmp_path: Path) -> None:
    said = entry("llama.rope.scaling.type", STRING, "none")
    found = read(tmp_path, said)
    (path,) = written(found, tmp_path / "again.gguf")

    assert found.config.rope_scaling is None
    assert keys_of(path)["llama.rope.scaling.type"] == "none"


def test_an_unknown_scaling_is_carried_with_a_note(tmp_path: Path) -> None:
    found = read(tmp_path, entry("llama.rope.scaling.type", STRING, "spiral"))

    assert found.config.rope_scaling is None
    assert any("'spiral'" in note for note in found.notes)


def gemma(**more: Any) -> ModelConfig:
    kinds = ("sliding",) * 5 + ("full",) + ("sliding",) * 2
    known = {"num_layers": 8, "sliding_window": 512, "layer_kinds": kinds, **more}
    return evolve(CONFIG, identity=Identity("gemma3"), **known)


def test_the_habitual_pattern_of_windows_needs_no_key(tmp_path: Path) -> None:
    (path,) = written(model(config=gemma()), tmp_path / "a.gguf")

    assert "gemma3.attention.sliding_window_pattern" not in keys_of(path)
    assert opened(path).config.layer_kinds == gemma().layer_kinds


def test_another_pattern_of_windows_is_written_as_flags(tmp_path: Path) -> None:
    config = gemma(layer_kinds=("full",) * 3 + ("sliding",) * 5)
    (path,) = written(model(config=config), tmp_path / "a.gguf")

    flags = keys_of(path)["gemma3.attention.sliding_window_pattern"]

    assert flags == [False] * 3 + [True] * 5
    assert opened(path).config.layer_kinds == config.layer_kinds


@pytest.mark.parametrize(
    ("period", "kinds"),
    [(0, "sss"), (1, "fff"), (2, "sfs"), (3, "ssf"), (6, "sss")],
)
def test_a_pattern_may_be_a_period(tmp_path: Path, period: int, kinds: str) -> None:
    words = {"s": "sliding", "f": "full"}

    found = read(
        tmp_path,
        entry("llama.block_count", U32, 3),
        entry("llama.attention.sliding_window", U32, 64),
        entry("llama.attention.sliding_window_pattern", U32, period),
    )

    assert found.config.layer_kinds == tuple(words[each] for each in kinds)


def test_flags_for_other_layers_are_refused(tmp_path: Path) -> None:
    flags = array("llama.attention.sliding_window_pattern", BOOL, [True])

    with pytest.raises(CorruptFileError, match="each of 3 layers"):
        read(
            tmp_path,
            entry("llama.block_count", U32, 3),
            entry("llama.attention.sliding_window", U32, 64),
            flags,
        )


def test_what_gguf_has_no_key_for_comes_back(tmp_path: Path) -> None:
    config = evolve(
        CONFIG,
        activation="gelu",
        query_scale=0.0625,
        norm_eps=1.00000000001e-5,
        sliding_window=4096,
        extra={"a": [1, {"b": None}]},
        final_softcap=30.0,
    )

    again = reopened(model(config=config), tmp_path).config

    assert evolve(again, tie_embeddings=None) == config


def test_a_number_that_another_program_changed_wins(tmp_path: Path) -> None:
    own = entry("aprhub.config", STRING, '{"rope_theta": 500000.0, "activation": "x"}')

    config = read(tmp_path, own).config

    assert config.rope_theta == 10000.0
    assert config.activation == "x"
