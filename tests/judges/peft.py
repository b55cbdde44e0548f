"""PEFT as a judge: adapters that it trains and saves, and what it makes of them."""

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from tests.judges.hf import transformers


@frozen
class Judged:
    """What a model computes with an adapter applied, and its weights once merged."""

    logits: NDArray[np.float32]
    weights: Mapping[str, NDArray[np.float32]]


def trained(
    base: Path, folder: Path, *, seed: int = 0, rows: int | None = None, **config: Any
) -> None:
    """Save an adapter of a model, as PEFT does; all that it trains is random.

    With `rows` the embedding gets that many before.
    """
    torch: Any = import_module("torch")
    peft: Any = import_module("peft")
    torch.manual_seed(seed)
    with _quiet():
        model = peft.get_peft_model(
            _model(base, rows), peft.LoraConfig(task_type="CAUSAL_LM", **config)
        )
        with torch.no_grad():
            for name, values in model.named_parameters():
                if values.requires_grad:
                    keep = 1.0 if "magnitude" in name or "lora_" not in name else 0.0
                    values.copy_(keep * values + 0.1 * torch.randn_like(values))
        model.save_pretrained(folder)


def judged(
    base: Path, folder: Path, token_ids: Sequence[int], rows: int | None = None
) -> Judged:
    """Return what PEFT computes with a saved adapter, and what it merges it to."""
    torch: Any = import_module("torch")
    peft: Any = import_module("peft")
    with _quiet(), torch.inference_mode():
        model = peft.PeftModel.from_pretrained(_model(base, rows), folder)
        logits = model(torch.tensor([list(token_ids)])).logits[0].numpy()
        merged = model.merge_and_unload().state_dict()
    return Judged(logits, {name: each.numpy() for name, each in merged.items()})


def weighted(
    base: Path,
    folders: Sequence[Path],
    target: Path,
    weights: Sequence[float],
    **how: Any,
) -> None:
    """Save what PEFT makes of several saved adapters with its weighted combination."""
    peft: Any = import_module("peft")
    with _quiet():
        model = peft.PeftModel.from_pretrained(_model(base), folders[0], "adapter_0")
        names = [f"adapter_{place}" for place in range(len(folders))]
        for name, folder in zip(names[1:], folders[1:], strict=True):
            model.load_adapter(folder, name)
        model.add_weighted_adapter(names, list(weights), "mixed", **how)
        model.save_pretrained(target, selected_adapters=["mixed"])


def _model(folder: Path, rows: int | None = None) -> Any:
    model = transformers().AutoModelForCausalLM.from_pretrained(
        folder, dtype="float32", attn_implementation="eager", local_files_only=True
    )
    if rows:
        model.resize_token_embeddings(rows, mean_resizing=False)
    return model


def _quiet() -> Any:
    return warnings.catch_warnings(action="ignore")
