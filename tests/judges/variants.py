"""Pico models with another configuration than their recipe's, weights unchanged."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from tests.judges.pico import pico


@frozen
class Variant:
    """A pico model with some values of its `config.json` replaced."""

    name: str
    family: str
    changes: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name

    def made(self, folder: Path) -> Path:
        """Make the model's folder below another one; one that is there is taken."""
        target = folder / self.name
        if target.exists():
            return target
        shutil.copytree(pico(self.family), target)
        config = json.loads((target / "config.json").read_text("utf-8"))
        text = json.dumps({**config, **self.changes})
        (target / "config.json").write_text(text, "utf-8")
        return target


def _scaled(kind: str, suffix: str = "", /, **parameters: Any) -> Variant:
    changes = {
        "rope_scaling": {"rope_type": kind, **parameters},
        "max_position_embeddings": 64,
    }
    name = "-".join(("llama", kind, *filter(None, (suffix,))))
    return Variant(name, "llama-spm", changes)


_YARN: Final[Mapping[str, Any]] = {
    "factor": 4.0,
    "original_max_position_embeddings": 32,
}


def yarn(name: str, **parameters: Any) -> Variant:
    """Return a YaRN with further parameters."""
    return _scaled("yarn", name, **_YARN, **parameters)


_PAIRS: Final = 12
"""Pairs of elements in a head of the llama models."""

LINEAR: Final = _scaled("linear", factor=4.0)
DYNAMIC: Final = _scaled("dynamic", factor=4.0)
YARN: Final = _scaled("yarn", **_YARN)
SHARP_YARN: Final = yarn("sharp", attention_factor=1.3)
MIXED_YARN: Final = yarn("mixed", mscale=0.8, mscale_all_dim=0.5)
UNEVEN_YARN: Final = yarn("uneven", truncate=False, beta_fast=16.0, beta_slow=2.0)
LONGROPE: Final = _scaled(
    "longrope",
    short_factor=[1.0 + pair / 8 for pair in range(_PAIRS)],
    long_factor=[1.5 + pair / 2 for pair in range(_PAIRS)],
    original_max_position_embeddings=32,
)
WINDOW: Final = Variant("mistral-window", "mistral", {"sliding_window": 12})
CAP: Final = Variant(
    "gemma3-cap",
    "gemma3",
    {"final_logit_softcapping": 20.0, "query_pre_attn_scalar": 4},
)
UNCAPPED: Final = Variant(
    "gemma2-uncapped",
    "gemma2",
    {"attn_logit_softcapping": None, "final_logit_softcapping": None},
)
RELU: Final = Variant("llama-relu", "llama-spm", {"hidden_act": "relu"})

YARNS: Final = (YARN, SHARP_YARN, MIXED_YARN, UNEVEN_YARN)
VARIANTS: Final = (LINEAR, DYNAMIC, *YARNS, LONGROPE, WINDOW, CAP, UNCAPPED, RELU)
