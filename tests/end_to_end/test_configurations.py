"""What a configuration says, llama.cpp computes; what it does not, is not written.

Models with values in their `config.json` that few models have. Each refusal, and each
note, is shown to be right: the file that is written all the same is refused by
llama.cpp, or gives other logits than transformers.
"""

import json
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from aprhub import Registry, open_model, save_model
from aprhub.errors import JudgeError, ModelCheckError, UnrunnableError
from aprhub.testing.models import PICOS
from tests.end_to_end.roads import TOLERANCE, convert, own_logits
from tests.health import raw
from tests.judges import hf, spm
from tests.judges.compare import agreement
from tests.judges.llama import Llama
from tests.judges.pico import pico
from tests.judges.pico_recipes import LLAMA3_ROPE
from tests.judges.variants import (
    CAP,
    DYNAMIC,
    LINEAR,
    LONGROPE,
    MIXED_YARN,
    RELU,
    SHARP_YARN,
    WINDOW,
    YARN,
    Variant,
    yarn,
)
from tests.unit.cli.program import succeed

IDS: Final = [1, *np.random.default_rng(7).integers(300, 1900, 47).tolist()]

BOTH_WAYS: Final = Variant(
    "gemma3-both-ways", "gemma3", {"use_bidirectional_attention": True}
)
NOT_CAUSAL: Final = Variant("phi3-both-ways", "phi3", {"is_causal": False})
COMPUTED: Final = (
    LINEAR,
    YARN,
    SHARP_YARN,
    MIXED_YARN,
    LONGROPE,
    DYNAMIC,
    Variant("gemma3-final-cap", "gemma3", {"final_logit_softcapping": 20.0}),
    NOT_CAUSAL,
)
REFUSED: Final = (
    (RELU, "activation: relu, where llama.cpp computes with silu"),
    (CAP, "query_scale: 4.0, where llama.cpp computes with 16"),
    (BOTH_WAYS, "bidirectional: true, and llama.cpp lays windows otherwise then"),
    (yarn("slow", beta_slow=2.0), "rope_scaling.beta_slow: 2.0, where llama.cpp"),
    (yarn("fast", beta_fast=1.5), "rope_scaling.beta_fast: 1.5, where llama.cpp"),
    (yarn("whole", truncate=False), "rope_scaling.truncate: false, where llama.cpp"),
    (
        Variant("qwen3-llama3", "qwen3", {"rope_parameters": LLAMA3_ROPE}),
        "rope_freqs.weight: llama.cpp has no place for it in qwen3",
    ),
)


def _difference(folder: Path, gguf: Path) -> float:
    """Return how far the logits are apart; infinitely where llama.cpp refuses."""
    try:
        with Llama.load(gguf) as llama:
            found = llama.logits(IDS)
    except JudgeError:
        return float("inf")
    expected = hf.logits(folder, IDS)
    return agreement(found[:, : expected.shape[1]], expected).difference


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("variants")


@pytest.mark.parametrize("variant", COMPUTED, ids=str)
def test_llama_cpp_computes_what_is_written(
    folder: Path, variant: Variant, tmp_path: Path
) -> None:
    source = variant.made(folder)

    report = convert(source, tmp_path / "m.gguf")

    assert _difference(source, tmp_path / "m.gguf") < TOLERANCE
    assert not any("llama.cpp has no" in note for note in report.notes)


@pytest.mark.parametrize("variant", COMPUTED[:6], ids=str)
def test_there_and_back_transformers_computes_the_same(
    folder: Path, variant: Variant, tmp_path: Path
) -> None:
    source = variant.made(folder)

    convert(source, tmp_path / "m.gguf")
    convert(tmp_path / "m.gguf", tmp_path / "m.apr")
    convert(tmp_path / "m.apr", tmp_path / "back")

    found = agreement(hf.logits(tmp_path / "back", IDS), hf.logits(source, IDS))
    assert found.difference < 1e-5


@pytest.mark.parametrize(
    ("variant", "said"), REFUSED, ids=[str(variant) for variant, _ in REFUSED]
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(
    folder: Path, variant: Variant, said: str, tmp_path: Path
) -> None:
    source, target = variant.made(folder), tmp_path / "m.gguf"

    with pytest.raises(UnrunnableError) as refusal:
        convert(source, target)

    assert said in str(refusal.value)
    assert not target.exists()
    convert(source, target, allow_unrunnable=True)
    assert _difference(source, target) > 10 * TOLERANCE


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"attn_logit_softcapping": None},
            "attention_softcap: none, where llama.cpp computes with 50.0",
        ),
        (
            {"final_logit_softcapping": None},
            "final_softcap: none, where llama.cpp computes with 30.0",
        ),
        (
            {"layer_types": ["full_attention"] * 4},
            "layer_kinds: none slides, and llama.cpp stops",
        ),
    ],
)
def test_what_gemma_2_always_does_is_not_left_out_in_llama_cpp(
    config: dict[str, Any], said: str, tmp_path: Path
) -> None:
    source = Variant("m", "gemma2", config).made(tmp_path)

    with pytest.raises(UnrunnableError) as refusal:
        convert(source, tmp_path / "m.gguf")
    convert(source, tmp_path / "m.apr")
    convert(tmp_path / "m.apr", tmp_path / "back")

    assert said in str(refusal.value)
    expected = hf.logits(source, IDS)
    np.testing.assert_array_equal(hf.logits(tmp_path / "back", IDS), expected)
    found = agreement(own_logits(tmp_path / "m.apr", IDS), expected)
    assert found.difference < TOLERANCE


def test_what_the_class_of_gemma_2_assumes_need_not_be_said(tmp_path: Path) -> None:
    folder = Variant("m", "gemma2", {}).made(tmp_path)
    said = json.loads((folder / "config.json").read_text())
    for key in ("attn_logit_softcapping", "final_logit_softcapping", "sliding_window"):
        del said[key]
    (folder / "config.json").write_text(json.dumps(said))

    convert(folder, tmp_path / "m.gguf")

    expected = hf.logits(folder, IDS)
    assert agreement(own_logits(folder, IDS), expected).difference < TOLERANCE
    assert _difference(folder, tmp_path / "m.gguf") < TOLERANCE


def test_what_llama_cpp_assumes_of_gemma_2_need_not_be_said(tmp_path: Path) -> None:
    convert(pico("gemma2"), tmp_path / "m.gguf")
    keys = (
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "attention.sliding_window",
    )
    words = [word for key in keys for word in ("--unset", f"gemma2.{key}")]
    succeed("stamp", tmp_path / "m.gguf", *words, "--in-place")

    with Llama.load(tmp_path / "m.gguf") as llama:
        expected = llama.logits(IDS)[:, : spm.SIZE]
    found = agreement(own_logits(tmp_path / "m.gguf", IDS), expected)
    config = open_model(tmp_path / "m.gguf").config

    assert found.difference < TOLERANCE
    caps = (config.attention_softcap, config.final_softcap)
    assert (*caps, config.sliding_window) == (50, 30, 4096)


def test_no_caps_are_told_to_a_folder_that_is_made_anew(tmp_path: Path) -> None:
    uncapped = {"attention_softcap": 0.0, "final_softcap": 0.0}
    model = PICOS["gemma2"].model(Registry.load(), **uncapped)

    save_model(model, tmp_path / "m")

    said = json.loads((tmp_path / "m" / "config.json").read_text())
    caps = {"attn_logit_softcapping": None, "final_logit_softcapping": None}
    assert {key: said[key] for key in caps} == caps
    read = open_model(tmp_path / "m").config
    assert (read.attention_softcap, read.final_softcap) == (0, 0)


def test_a_model_that_is_not_causal_stays_so(folder: Path, tmp_path: Path) -> None:
    source, target = NOT_CAUSAL.made(folder), tmp_path / "m.gguf"
    causal = hf.logits(pico(NOT_CAUSAL.family), IDS)
    convert(source, target)
    parts = raw.open_gguf(target)
    parts.drop("aprhub.")
    raw.write_gguf(parts, target)

    convert(target, tmp_path / "back")

    expected = hf.logits(source, IDS)
    assert not agreement(causal, expected).within(0.5)
    assert agreement(hf.logits(tmp_path / "back", IDS), expected).difference < 1e-5


def test_a_factor_under_its_old_key_is_the_one_that_llama_cpp_takes(
    folder: Path, tmp_path: Path
) -> None:
    source, target = LINEAR.made(folder), tmp_path / "m.gguf"
    convert(source, target)
    parts = raw.open_gguf(target)
    parts.drop("aprhub.", "llama.rope.scaling.")
    parts.put("llama.rope.scale_linear", struct.pack("<If", 6, 4.0))
    raw.write_gguf(parts, target)

    convert(target, tmp_path / "back")

    assert _difference(tmp_path / "back", target) < TOLERANCE
    assert _difference(source, target) < TOLERANCE


@pytest.mark.parametrize(
    ("key", "value", "subject"),
    [
        ("rope.dimension_count", struct.pack("<II", 4, 12), "rotary_dim"),
        ("rope.freq_base_swa", struct.pack("<If", 6, 5.0), "rope_local_theta"),
    ],
)
def test_what_transformers_has_no_place_for_is_no_folder(
    key: str, value: bytes, subject: str, tmp_path: Path
) -> None:
    convert(pico("gemma2"), tmp_path / "m.gguf")
    parts = raw.open_gguf(tmp_path / "m.gguf")
    parts.drop("aprhub.")
    parts.put(f"gemma2.{key}", value)
    raw.write_gguf(parts, tmp_path / "m.gguf")

    with pytest.raises(UnrunnableError, match=f"  - {subject}: "):
        convert(tmp_path / "m.gguf", tmp_path / "back")


@pytest.mark.slow
def test_a_model_that_looks_both_ways_stays_so_and_runs_nowhere_else(
    folder: Path, tmp_path: Path
) -> None:
    source, target = BOTH_WAYS.made(folder), tmp_path / "m.apr"

    with pytest.raises(UnrunnableError, match="bidirectional: true, but programs"):
        convert(source, target)
    with pytest.raises(ModelCheckError, match="bidirectional: its tokens see those"):
        own_logits(source, IDS)
    convert(source, target, allow_unrunnable=True)
    convert(target, tmp_path / "back")

    said = hf.transformers().AutoConfig.from_pretrained(tmp_path / "back")
    assert said.use_bidirectional_attention is True
    assert open_model(target).config.bidirectional is True


def test_a_window_that_llama_cpp_does_not_heed_is_a_note(
    folder: Path, tmp_path: Path
) -> None:
    source = WINDOW.made(folder)

    report = convert(source, tmp_path / "m.gguf")

    (note,) = (note for note in report.notes if "sliding_window" in note)
    assert "sliding_window 12: llama.cpp has no windows in llama" in note
    assert _difference(source, tmp_path / "m.gguf") > 10 * TOLERANCE


def test_a_stretch_that_llama_cpp_does_not_heed_is_a_note(
    folder: Path, tmp_path: Path
) -> None:
    report = convert(DYNAMIC.made(folder), tmp_path / "m.gguf")
    assert any("does not stretch texts of more than 64" in n for n in report.notes)


def test_a_window_as_wide_as_the_text_is_no_matter(tmp_path: Path) -> None:
    wide = Variant("wide", "mistral", {"sliding_window": 512})
    report = convert(wide.made(tmp_path), tmp_path / "m.gguf")
    assert not any("sliding_window" in note for note in report.notes)


def test_biases_that_llama_cpp_does_not_read_are_refused(tmp_path: Path) -> None:
    source = Variant("biased", "qwen3", {"attention_bias": True}).made(tmp_path)
    weights: dict[str, Any] = load_file(source / "model.safetensors")
    for name in [name for name in weights if name.endswith("_proj.weight")]:
        if "self_attn" in name:
            bias = np.full(weights[name].shape[0], 0.5, np.float32)
            weights[name.replace("weight", "bias")] = bias
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(UnrunnableError, match=r"- attn_output.bias: llama.cpp has no"):
        convert(source, tmp_path / "m.gguf")

    convert(source, tmp_path / "m.gguf", allow_unrunnable=True)
    assert _difference(source, tmp_path / "m.gguf") == float("inf")
