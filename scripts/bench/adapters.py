"""Measures merging an adapter against PEFT on the same model, in the same run.

The base is a bf16 folder of 1 GB, the adapter one of q and v in all layers. PEFT loads,
merges and saves on the CPU in bf16. Runs alternate, with the base read into the cache.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from scripts.bench.models import SHAPES, make_model
from scripts.bench.timing import alternated, remove
from tests.judges import assets

RANK = 64

PEFT = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter, target = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(target)
"""


def make_adapter(folder: Path, shape: dict[str, int]) -> Path:
    """Write a PEFT folder with random matrices."""
    folder.mkdir()
    random = np.random.default_rng(1)
    hidden = shape["hidden"]
    shared = hidden // shape["heads"] * shape["kv"]
    tensors = {}
    for layer in range(shape["layers"]):
        for target, rows in (("q_proj", hidden), ("v_proj", shared)):
            name = f"base_model.model.model.layers.{layer}.self_attn.{target}.lora_"
            for half, dims in (("A", (RANK, hidden)), ("B", (rows, RANK))):
                values = random.normal(0, 0.02, dims).astype(np.float32)
                tensors[f"{name}{half}.weight"] = values
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "target_modules": ["q_proj", "v_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def merges(work: Path, runs: int) -> list[list[str]]:
    """Return who merges, median seconds and peak MiB."""
    shape = SHAPES["1 GB"]
    base = make_model(work / "base", shape, assets.tokenizer("qwen3"))
    adapter, target = make_adapter(work / "adapter", shape), work / "merged"
    ours: list[str | Path] = ["-m", "aprhub", "adapter", "merge", "-q", base, adapter]
    commands: dict[str, list[str | Path]] = {
        "aprhub adapter merge": [sys.executable, *ours, "-o", target],
        "PEFT merge_and_unload": [sys.executable, "-c", PEFT, base, adapter, target],
    }
    found = alternated(commands, [base], target, runs)
    for path in (base, adapter):
        remove(path)
    return found
