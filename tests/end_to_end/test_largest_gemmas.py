"""The largest Gemma 2 and 3, whose files of other makers do not say all of them.

llama.cpp knows them by the number of their layers, and scales their queries by an equal
share of the hidden size; no key of a GGUF tells.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest

from tests.end_to_end.roads import TOLERANCE, convert
from tests.judges import converter, hf, spm
from tests.judges.compare import agreement

IDS: Final = [1, *range(300, 340)]
HIDDEN, HEADS = 48, 2
SIZES: Final = {
    "hidden_size": HIDDEN,
    "intermediate_size": 64,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "query_pre_attn_scalar": HIDDEN // HEADS,
    "sliding_window": 16,
    "vocab_size": spm.SIZE,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def made(name: str, layers: int, folder: Path) -> Path:
    torch: Any = import_module("torch")
    config = getattr(hf.transformers(), name)(**SIZES, num_hidden_layers=layers)
    torch.manual_seed(0)
    model = hf.transformers().AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for each, values in model.named_parameters():
            scale = 1.5 * values.shape[-1] ** -0.5
            scale = 1.0 if "embed" in each else 0.2 if "norm" in each else scale
            values.copy_(torch.randn(values.shape) * scale)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(spm.trained(), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({**spm.CONFIG}))
    (folder / "tokenizer.model").write_bytes(spm.pieces())
    return folder


@pytest.mark.parametrize(
    ("name", "layers", "other"),
    [
        ("Gemma2Config", 46, False),
        ("Gemma2Config", 45, True),
        pytest.param("Gemma3TextConfig", 62, False, marks=pytest.mark.slow),
    ],
)
def test_queries_are_scaled_as_the_number_of_layers_tells(
    name: str, layers: int, other: bool, tmp_path: Path
) -> None:
    folder = made(name, layers, tmp_path / "folder")
    converter.convert(folder, tmp_path / "foreign.gguf")

    convert(tmp_path / "foreign.gguf", tmp_path / "back")

    said = json.loads((tmp_path / "back" / "config.json").read_text())
    assert (said["query_pre_attn_scalar"] == HIDDEN // HEADS) is not other
    found = agreement(hf.logits(tmp_path / "back", IDS), hf.logits(folder, IDS))
    assert (found.difference < TOLERANCE) is not other
