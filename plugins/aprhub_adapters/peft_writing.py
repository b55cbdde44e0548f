"""Writes an adapter as a PEFT folder.

Modules are named by their whole paths, so that PEFT adapts them and no others. Experts
are modules of their own there; PEFT stacks their pairs as `transformers` 5 does the
experts (`transformers_weight_conversion.py` of PEFT 0.21).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from aprhub.api import (
    Adapter,
    AdapterFiles,
    Family,
    Fault,
    LowRank,
    StoredModel,
    Tensor,
    UnrepresentableError,
)
from aprhub_adapters import documents

WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"
PREFIX: Final = "base_model.model."

_EMBEDDING: Final = "embed_tokens.weight"

_EXPERT = re.compile(r".*\.experts\.\d+\.(\w+)\.weight")
_STACKABLE: Final = (
    {"w1", "w2", "w3"},
    {"w2"},
    {"gate_proj", "up_proj", "down_proj"},
    {"down_proj"},
)
"""The projections of experts whose pairs PEFT stacks rightly: where others are changed
it fails, or computes something else."""

_NEVER_STACKED: Final = "qwen2_moe"
"""The type of models for which PEFT leaves pairs of experts out and says nothing."""


def lay_out(adapter: Adapter, family: Family, target: Path) -> AdapterFiles:
    """Return the files of an adapter.

    Raises UnrepresentableError where some changes have a magnitude or a bias and
    others have none, since PEFT decides that for all together, and for changes of
    experts that PEFT does not apply.
    """
    _refuse_mixed(adapter, target)
    _refuse_experts(adapter, family, target)
    tensors = dict(_tensors(adapter))
    container = StoredModel("safetensors", target, tensors)
    texts = {CONFIG: documents.written(_config(adapter))}
    return AdapterFiles(container, WEIGHTS, texts)


def _refuse_mixed(adapter: Adapter, target: Path) -> None:
    for what in ("magnitude", "bias"):
        without = [n for n, c in adapter.changes.items() if getattr(c, what) is None]
        if 0 < len(without) < len(adapter.changes):
            how = f"peft has a {what} for all changes or for none"
            problem = f"has no {what}, others have"
            repair = "merge it with 'aprhub adapter merge'"
            faults = [Fault(name, problem, repair) for name in without]
            raise UnrepresentableError(target, how, faults)


def _refuse_experts(adapter: Adapter, family: Family, target: Path) -> None:
    changed = _experts(adapter)
    if changed and _NEVER_STACKED in family.hf_model_types:
        raise UnrepresentableError(
            target,
            f"peft leaves out what is for experts of {_NEVER_STACKED}; choose another"
            " layout, such as names",
        )
    if changed and changed not in _STACKABLE:
        raise UnrepresentableError(
            target,
            f"of each expert it changes {' and '.join(sorted(changed))}, and peft"
            " takes all three projections or the last; choose another layout, such as"
            " names",
        )


def _experts(adapter: Adapter) -> set[str]:
    """Return the projections that are changed of single experts."""
    found = map(_EXPERT.fullmatch, adapter.changes)
    return {each[1] for each in found if each}


def _tensors(adapter: Adapter) -> Iterator[tuple[str, Tensor]]:
    for name, change in adapter.changes.items():
        module = PREFIX + _module(name)
        if name.endswith(_EMBEDDING):
            yield f"{module}.lora_embedding_A", change.b.transposed()
            yield f"{module}.lora_embedding_B", change.a.transposed()
        else:
            yield f"{module}.lora_A.weight", change.a
            yield f"{module}.lora_B.weight", change.b
        if change.magnitude is not None:
            yield f"{module}.lora_magnitude_vector", change.magnitude
        if change.bias is not None:
            yield f"{module}.lora_B.bias", change.bias
    for name, tensor in adapter.replacements.items():
        module, _, kind = name.rpartition(".")
        inner = ".base_layer" if f"{module}.weight" in adapter.changes else ""
        inner = ".token_adapter.base_layer" if name in adapter.rows else inner
        yield f"{PREFIX}{module}{inner}.{kind}", tensor
    for name, rows in adapter.rows.items():
        yield (
            f"{PREFIX}{_module(name)}.token_adapter.trainable_tokens_delta",
            rows.values,
        )


def _module(name: str) -> str:
    return name.removesuffix(".weight")


def _config(adapter: Adapter) -> dict[str, Any]:
    changes = {_module(name): change for name, change in adapter.changes.items()}
    # PEFT gives pairs that it stacks twice the rank and alpha: no root must count.
    stabilised = all(each.rank_stabilised for each in changes.values())
    stabilised = stabilised and not _experts(adapter)
    ranks = {module: each.rank for module, each in changes.items()}
    alphas = {module: _alpha(each, stabilised) for module, each in changes.items()}
    rank, alpha = _usual(ranks), _usual(alphas)
    replaced = {_module(n) for n in adapter.replacements if n.endswith(".weight")}
    tokens = {_module(name): [*rows.ids] for name, rows in adapter.rows.items()}
    biased = any(name.endswith(".bias") for name in adapter.replacements)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "use_rslora": stabilised,
        "use_dora": any(each.magnitude is not None for each in changes.values()),
        "lora_bias": any(each.bias is not None for each in changes.values()),
        "rank_pattern": {m: r for m, r in ranks.items() if r != rank},
        "alpha_pattern": {m: a for m, a in alphas.items() if a != alpha},
        "target_modules": sorted(changes),
        "modules_to_save": sorted(replaced - changes.keys() - tokens.keys()) or None,
        "trainable_token_indices": tokens or None,
        "bias": "all" if biased else "none",
        "fan_in_fan_out": False,
    }


def _alpha(change: LowRank, stabilised: bool) -> float | int:
    """Return the alpha that gives a change its scale, as a whole number if it is."""
    alpha = change.alpha
    if change.rank_stabilised and not stabilised:
        alpha = change.scale * change.rank
    return int(alpha) if float(alpha).is_integer() else alpha


def _usual(values: Mapping[str, Any]) -> Any:
    return Counter(values.values()).most_common(1)[0][0]
