"""A configuration as a new `config.json`, for transformers 4 and 5 alike."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aprhub.api import StoredModel, Tensor
from aprhub_safetensors import attention, rope
from aprhub_safetensors.classes import class_of
from aprhub_safetensors.keys import spelled_keys, written_name
from aprhub_safetensors.tables import TORCH_DTYPES

SAID_WHEN_NONE: Final = (
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "sliding_window",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
"""Keys for which the classes assume a value where the key is absent."""


def config_text(stored: StoredModel) -> str:
    """Return the text of a `config.json` that says what the model's fields say."""
    hf_class, model_type = identity_names(stored)
    ways = class_of(model_type)
    values = dict(stored.family.hf_constants) if stored.family else {}
    values.update(attention.spelled_attention(stored.config, ways))
    values.update(rope.spelled_rope(stored.config, ways))
    for key, value in spelled_keys(stored.config, ways):
        values[written_name(key, ways)] = value
    values.update(_special_ids(stored))
    values["torch_dtype"] = torch_dtype(stored.tensors)
    values["architectures"] = [hf_class] if hf_class else None
    values["model_type"] = model_type
    return as_text(
        {
            key: value
            for key, value in sorted(values.items())
            if value is not None or key in SAID_WHEN_NONE
        }
    )


def as_text(values: Mapping[str, Any]) -> str:
    """Return a JSON object as the text of a file that people may read."""
    return json.dumps(values, indent=2) + "\n"


def torch_dtype(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the float type that most weights have."""
    counts: dict[str, int] = {}
    for tensor in tensors.values():
        name = TORCH_DTYPES.get(tensor.encoding.name)
        if name:
            counts[name] = counts.get(name, 0) + tensor.size
    return max(counts, key=lambda name: counts[name], default=None)


def identity_names(stored: StoredModel) -> tuple[str | None, str | None]:
    """Return the class and the `model_type` under which a model is written.

    What the source said is kept where it belongs to the model's family.
    """
    claim, family = stored.config.identity, stored.family
    if family is None:
        return claim.hf_class, claim.hf_model_type
    classes, types = family.hf_classes, family.hf_model_types
    return (
        claim.hf_class if claim.hf_class in classes else classes[0],
        claim.hf_model_type if claim.hf_model_type in types else types[0],
    )


def _special_ids(stored: StoredModel) -> Iterator[tuple[str, int | None]]:
    if stored.tokenizer is not None:
        for name in ("bos", "eos", "pad"):
            yield f"{name}_token_id", stored.tokenizer.special_ids.get(name)
