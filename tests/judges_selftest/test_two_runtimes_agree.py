"""Both runtimes give one model's numbers, and any single mistake shows in them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from numpy.typing import NDArray

from tests.judges import hf
from tests.judges.compare import Agreement, agreement
from tests.judges.converter import converted
from tests.judges.llama import Llama
from tests.judges.pico import FAMILIES, PROMPTS, pico

TOLERANCE = 1e-3

Array = NDArray[np.float32]
Change = Callable[[Array, "Tensors"], Array]
Tensors = dict[str, Array]


@pytest.fixture(params=PROMPTS, ids=["prose", "code", "languages"])
def prompt(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


def compared(gguf: Path, family: str, prompt: str) -> Agreement:
    folder = pico(family)
    ids = hf.tokenize(folder, prompt, add_special=True)
    with Llama.load(gguf) as llama:
        return agreement(llama.logits(ids), hf.logits(folder, ids))


@pytest.mark.parametrize("family", FAMILIES)
def test_llama_cpp_and_transformers_agree_on_a_right_conversion(
    family: str, prompt: str
) -> None:
    found = compared(converted(pico(family)), family, prompt)
    assert found.within(TOLERANCE), found


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_far_from_uniform_and_do_not_echo_the_prompt(
    family: str, prompt: str
) -> None:
    ids = hf.tokenize(pico(family), prompt, add_special=True)
    logits = hf.logits(pico(family), ids).astype(np.float64)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    top = (weights / weights.sum(-1, keepdims=True)).max(-1)
    assert np.mean(top > 0.5) > 0.5
    assert np.mean(logits.argmax(-1) == ids) < 0.25


def unpermuted(heads: int) -> Change:
    """Undo the change of row order that the converter makes for llama."""

    def change(rows: Array, _: Tensors) -> Array:
        pairs = rows.reshape(heads, -1, 2, *rows.shape[1:])
        return pairs.swapaxes(1, 2).reshape(rows.shape)

    return change


def zeroed(values: Array, _: Tensors) -> Array:
    return np.zeros_like(values)


def ones(values: Array, _: Tensors) -> Array:
    return np.ones_like(values)


def less_one(values: Array, _: Tensors) -> Array:
    return values - 1


def embedding(_: Array, tensors: Tensors) -> Array:
    return tensors["token_embd.weight"]


PERMUTED = (
    ("blk.1.attn_q.weight", unpermuted(4)),
    ("blk.1.attn_k.weight", unpermuted(2)),
)
UNTIED = (("output.weight", embedding),)
NORMS = (
    "output_norm",
    "blk.3.attn_norm",
    "blk.3.attn_q_norm",
    "blk.3.attn_k_norm",
    "blk.3.post_attention_norm",
    "blk.3.ffn_norm",
    "blk.3.post_ffw_norm",
)
MISTAKES = [
    (family, tensor, change)
    for family, mistakes in {
        "llama": (*PERMUTED, *UNTIED),
        "llama-rope": (*PERMUTED, *UNTIED, ("rope_freqs.weight", ones)),
        "llama-tied": PERMUTED,
        "llama-spm": (
            *PERMUTED,
            *UNTIED,
            ("blk.1.attn_q.bias", unpermuted(4)),
            ("blk.1.attn_k.bias", unpermuted(2)),
            ("blk.1.attn_v.bias", zeroed),
            ("blk.1.attn_output.bias", zeroed),
        ),
        "mistral": (*PERMUTED, *UNTIED),
        "qwen2": (
            *UNTIED,
            ("blk.1.attn_q.bias", zeroed),
            ("blk.1.attn_k.bias", zeroed),
            ("blk.1.attn_v.bias", zeroed),
        ),
        "qwen3": (("blk.1.attn_q_norm.weight", ones), ("blk.1.attn_k_norm.weight", ones)),
        "gemma3": tuple((f"{name}.weight", less_one) for name in NORMS),
    }.items()
    for tensor, change in mistakes
]


@pytest.mark.parametrize(
    ("family", "tensor", "change"),
    MISTAKES,
    ids=[f"{family}-{tensor}" for family, tensor, _ in MISTAKES],
)
def test_one_transform_left_out_shows(
    family: str, tensor: str, change: Change, tmp_path: Path
) -> None:
    broken = tmp_path / "model.gguf"
    shutil.copy(converted(pico(family)), broken)
    reader = GGUFReader(broken, "r+")
    tensors = {found.name: found.data for found in reader.tensors}
    tensors[tensor][:] = change(tensors[tensor], tensors)
    found = compared(broken, family, PROMPTS[0])
    print("XX", family, tensor, found)
    assert found.difference > 10 * TOLERANCE
    assert found.same_choices < 1
