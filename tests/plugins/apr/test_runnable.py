"""What keeps a model from being run is said before anybody tries."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from aprhub.api import (
    ENCODINGS,
    Family,
    FlatVocabulary,
    Identity,
    ModelConfig,
    StoredModel,
    Tensor,
    Tokenizer,
)
from aprhub_apr import APR
from tests.plugins.apr import disk, golden

QWEN2 = Family(
    "qwen2",
    slug="qwen2",
    ggml_architecture="qwen2",
    hf_classes=("Qwen2ForCausalLM",),
    hf_model_types=("qwen2",),
    weights=(),
)
LLAMA = evolve(QWEN2, name="llama", slug="llama", rope_pairs="interleaved")
QWEN3 = evolve(QWEN2, name="qwen3", slug="qwen3")

CONFIG = ModelConfig(
    identity=Identity("llama"),
    hidden_size=8,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    vocab_size=6,
    intermediate_size=16,
    max_position_embeddings=64,
    norm_eps=1e-5,
    rope_theta=1e4,
)
TOKENS = ["<unk>", "a", "b", "ab", "c", "d"]
TOKENIZER = Tokenizer(FlatVocabulary("gpt2", TOKENS, merges=["a b"]))
LAYER = {
    "input_layernorm.weight": (8,),
    "post_attention_layernorm.weight": (8,),
    "self_attn.q_proj.weight": (8, 8),
    "self_attn.k_proj.weight": (4, 8),
    "self_attn.v_proj.weight": (4, 8),
    "self_attn.o_proj.weight": (8, 8),
    "mlp.gate_proj.weight": (16, 8),
    "mlp.up_proj.weight": (16, 8),
    "mlp.down_proj.weight": (8, 16),
}
SHAPES: dict[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (6, 8),
    "model.norm.weight": (8,),
    "lm_head.weight": (6, 8),
    **{f"model.layers.{i}.{name}": LAYER[name] for i in (0, 1) for name in LAYER},
}


def _zeros(shape: tuple[int, ...], encoding: str = "f32") -> Tensor:
    found = ENCODINGS[encoding]
    return disk.packed(shape, found, bytes(found.nbytes(shape)))


def _model(**changes: Any) -> StoredModel:
    parts = {
        "config": CONFIG,
        "tokenizer": TOKENIZER,
        "family": LLAMA,
        "naming": "apr",
        **changes,
    }
    return disk.model({name: _zeros(shape) for name, shape in SHAPES.items()}, **parts)


def _faults(stored: StoredModel) -> list[str]:
    return [str(fault) for fault in APR.runnable(stored)]


def _reread(name: str, family: Family | None) -> StoredModel:
    return evolve(disk.opened(golden.path(name)), family=family)


def test_a_whole_model_has_no_faults() -> None:
    assert _faults(_model()) == []


def test_a_written_model_has_no_faults(tmp_path: Path) -> None:
    found = disk.reopened(_model(), tmp_path)

    assert _faults(evolve(found, family=LLAMA)) == []


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("qwen2_tiny_hf.apr", QWEN2),
        ("qwen2_tiny_gguf.apr", QWEN2),
        ("qwen2_tiny_gguf_import_alias.apr", QWEN2),
        ("llama_tiny_hf.apr", LLAMA),
        ("llama_tiny_gguf.apr", LLAMA),
        ("llama_tiny_f16.apr", LLAMA),
        ("qwen2_tiny_q8.apr", QWEN2),
        ("qwen2_tiny_q4.apr", QWEN2),
        ("llama_tiny_sentencepiece.apr", LLAMA),
        ("s86_stamped.apr", QWEN2),
        ("no_tokenizer_stamped.apr", QWEN2),
    ],
)
def test_what_the_reference_runs_has_no_faults(name: str, family: Family) -> None:
    assert golden.verdict(name)["gate"]["runnable"]
    assert _faults(_reread(name, family)) == []


@pytest.mark.parametrize(
    ("name", "family", "fault"),
    [
        ("qwen2_no_architecture.apr", None, "C-01: missing 'architecture'"),
        ("qwen2_missing_heads.apr", QWEN2, "C-03: missing 'num_heads'"),
        ("qwen2_zero_layers.apr", QWEN2, "C-03: num_layers is 0"),
        ("qwen2_no_tokenizer.apr", QWEN2, "PMAT-172: missing embedded tokenizer"),
        ("qwen2_vocab_only_tokenizer.apr", QWEN2, "PMAT-172: the tokenizer is not"),
        ("qwen2_vocab_mismatch.apr", QWEN2, "OBLIG-APR-VOCAB-EMBED-CONSISTENT"),
        ("full_metadata.apr", QWEN2, "model.embed_tokens.weight: missing"),
        ("qwen2_tied_no_lm_head.apr", QWEN2, "lm_head.weight: missing"),
        ("llama_bad_gqa.apr", LLAMA, "num_heads 4 is not a multiple"),
        ("s86_llama_arch_qwen2_tensors.apr", QWEN2, "'LlamaForCausalLM'"),
    ],
)
def test_what_cannot_be_run_has_its_fault(
    name: str, family: Family | None, fault: str
) -> None:
    """The last four pass the reference's own gate and then fail, or run wrongly."""
    found = _faults(_reread(name, family))

    assert any(fault in each for each in found)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"hidden_size": None}, "C-03: missing 'hidden_size'"),
        ({"intermediate_size": 0}, "C-03: intermediate_size is 0"),
        ({"bidirectional": True}, "bidirectional: true, but programs let no token"),
        ({"num_heads": 3, "num_kv_heads": 1}, "8 is not a multiple of num_heads 3"),
        ({"num_kv_heads": 3}, "4 is not a multiple of num_kv_heads 3"),
        ({"num_kv_heads": 8}, "4 is not a multiple of num_kv_heads 8"),
        ({"num_kv_heads": 0}, "4 is not a multiple of num_kv_heads 0"),
        ({"vocab_size": 1_000_001}, "vocab_size: 1000001 is over 1000000"),
        ({"max_position_embeddings": 1 << 22}, "is over 2097152"),
        ({"rope_theta": 0.5}, "rope_theta: 0.5 is outside"),
        ({"norm_eps": 0.1}, "norm_eps: 0.1 is outside"),
        ({"vocab_size": 7}, "lm_head.weight has shape [6, 8]"),
        ({"num_layers": 3}, "mlp.up_proj.weight: missing in layers 2"),
    ],
)
def test_a_configuration_that_does_not_run_has_its_fault(
    change: dict[str, Any], fault: str
) -> None:
    found = _faults(_model(config=evolve(CONFIG, **change)))

    assert any(fault in each for each in found)


def test_no_number_of_layers_takes_long() -> None:
    config = evolve(CONFIG, num_layers=(1 << 64) - 1)

    assert any("num_layers" in each for each in _faults(_model(config=config)))


@pytest.mark.parametrize("name", SHAPES)
def test_every_tensor_is_needed(name: str) -> None:
    stored = _model()
    tensors = {key: each for key, each in stored.tensors.items() if key != name}

    (fault,) = _faults(evolve(stored, tensors=tensors))

    assert "missing" in fault


EXPERTS: dict[str, tuple[int, ...]] = {
    f"model.layers.{layer}.mlp.{name}.weight": shape
    for layer in range(2)
    for name, shape in {
        "gate": (3, 8),
        **{
            f"experts.{expert}.{part}_proj": (8, 8)
            for expert in range(3)
            for part in ("gate", "up", "down")
        },
    }.items()
}


@pytest.mark.parametrize("left_out", [None, *EXPERTS])
def test_a_model_with_experts_needs_the_router_and_all_of_them(
    left_out: str | None,
) -> None:
    config = evolve(CONFIG, num_experts=3, num_experts_per_tok=2)
    stored = _model(config=config)
    dense = {key: each for key, each in stored.tensors.items() if ".mlp." not in key}
    experts = {key: _zeros(shape) for key, shape in EXPERTS.items() if key != left_out}

    found = _faults(evolve(stored, tensors={**dense, **experts}))

    assert len(found) == (left_out is not None)
    assert all(str(left_out).partition(".mlp.")[2] in fault for fault in found)


@pytest.mark.parametrize(
    ("family", "fault"), [(QWEN2, "q_proj.bias"), (QWEN3, "q_norm.weight")]
)
def test_a_family_needs_its_own_tensors(family: Family, fault: str) -> None:
    config = evolve(CONFIG, identity=Identity(family.slug))

    found = _faults(_model(family=family, config=config))

    assert any(fault in each for each in found)


@pytest.mark.parametrize(
    ("name", "encoding", "fault"),
    [
        ("model.norm.weight", "bf16", "a vector of bf16"),
        ("model.layers.0.input_layernorm.weight", "f16", "a vector of f16"),
        ("lm_head.weight", "f64", "f64, which would be read as another type"),
        ("lm_head.weight", "i8", "i8, which would be read as another type"),
        ("lm_head.weight", "q5_k", "q5_k, which would be read as another type"),
    ],
)
def test_a_type_that_is_misread_is_a_fault(
    name: str, encoding: str, fault: str
) -> None:
    stored = _model()
    tensors = {**stored.tensors, name: _zeros(SHAPES[name], encoding)}

    (found,) = _faults(evolve(stored, tensors=tensors))

    assert found.startswith((f"{name}: {fault},", f"{name}: {fault} ("))


@pytest.mark.parametrize("encoding", ["f16", "bf16", "q4_k", "q6_k", "apr_q4"])
def test_a_matrix_may_be_of_any_type_that_is_read(encoding: str) -> None:
    stored = _model()
    tensors = {**stored.tensors, "lm_head.weight": _zeros((6, 8), encoding)}

    assert _faults(evolve(stored, tensors=tensors)) == []


def _scores(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.zeros(count, np.float32)


@pytest.mark.parametrize(
    ("flat", "runs"),
    [
        (FlatVocabulary("llama", TOKENS, scores=_scores(6)), True),
        (FlatVocabulary("llama", ["x", *TOKENS[1:]], scores=_scores(6)), False),
        (FlatVocabulary("gpt2", TOKENS), False),
        (FlatVocabulary("gpt2", TOKENS, merges=[]), False),
    ],
)
def test_a_tokenizer_has_to_be_loadable(flat: FlatVocabulary, runs: bool) -> None:
    found = _faults(_model(tokenizer=Tokenizer(flat)))

    assert (found == []) is runs


def test_a_rope_type_of_other_rows_is_a_fault(tmp_path: Path) -> None:
    found = disk.reopened(_model(), tmp_path)
    own = {**found.carried["apr"], "rope_type": 0}

    (fault,) = _faults(evolve(found, family=LLAMA, carried={"apr": own}))

    assert fault.startswith("rope_type: is 0, but the rows are in the order of 2 (use")
