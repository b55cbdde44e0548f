"""PEFT as a judge: adapters that it trains and saves, and what it makes of them."""

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from aprhub.corpus import Batch
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

    With `rows` the embedding gets that many before. With `token_indices`, only those
    rows are trained.
    """
    torch: Any = import_module("torch")
    peft: Any = import_module("peft")
    torch.manual_seed(seed)
    alone = "token_indices" in config
    kind = peft.TrainableTokensConfig if alone else peft.LoraConfig
    with _quiet():
        wanted = kind(task_type="CAUSAL_LM", **config)
        model = peft.get_peft_model(_model(base, rows), wanted)
        with torch.no_grad():
            for name, values in model.named_parameters():
                if values.requires_grad:
                    keep = 1.0 if "magnitude" in name or "lora_" not in name else 0.0
                    values.copy_(keep * values + 0.1 * torch.randn_like(values))
        model.save_pretrained(folder)


def stepped(
    base: Path,
    start: Mapping[str, NDArray[np.float32]],
    batches: Sequence[Batch],
    config: Mapping[str, Any],
    **adamw: Any,
) -> Mapping[str, NDArray[np.float32]]:
    """Return the pairs that a plain loop trains, a step on each batch.

    `start` has the pairs under the names that PEFT saves them with. Gradients are
    clipped to a norm of 1, the rest of a step is AdamW's.
    """
    torch: Any = import_module("torch")
    peft: Any = import_module("peft")
    with _quiet():
        model = peft.get_peft_model(_model(base), peft.LoraConfig(**config))
        tensors = {name: torch.from_numpy(each) for name, each in start.items()}
        told = peft.set_peft_model_state_dict(model, tensors)
        assert not told.unexpected_keys
        trained = [each for each in model.parameters() if each.requires_grad]
        optimizer = torch.optim.AdamW(trained, **adamw)
        for batch in batches:
            logits = model(torch.from_numpy(batch.inputs)).logits.flatten(0, 1)
            wanted = torch.from_numpy(batch.targets).flatten()
            torch.nn.functional.cross_entropy(logits, wanted).backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
        found = peft.get_peft_model_state_dict(model)
    return {name: each.detach().numpy() for name, each in found.items()}


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
