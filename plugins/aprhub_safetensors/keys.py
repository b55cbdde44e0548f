"""Which keys of `config.json` say what which field of a configuration says."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from aprhub.api import Dispute, Document, ModelConfig, respelled
from aprhub_safetensors.classes import ConfigClass

MAX_LAYERS: Final = 1 << 16

DIMENSIONS: Final = frozenset(
    {
        "hidden_size",
        "num_layers",
        "num_heads",
        "num_kv_heads",
        "intermediate_size",
    }
)
"""Fields for which the classes of known families read one key, and no other."""


@frozen
class Key:
    """A field and the keys for it, the one that is written first.

    `kind` is the method of Document that reads it. With `synonyms`, keys that are there
    together must agree; otherwise the first that is not null counts.
    """

    field: str
    names: tuple[str, ...]
    kind: str = "whole"
    synonyms: bool = True

    def read(self, document: Document) -> tuple[str, Any]:
        """Return the key that counts, and its value; the value is None without one."""
        found = {
            name: value
            for name in self.names
            if (value := getattr(document, self.kind)(name)) is not None
        }
        if not found:
            return self.names[0], None
        first = next(iter(found))
        if self.synonyms and any(value != found[first] for value in found.values()):
            error = document.fault(first, f"the same as {', '.join(found)}")
            values = tuple(found.values())
            document.complaints.forgive(error, Dispute(", ".join(found), values))
            return first, None
        if self.field in DIMENSIONS and list(found) != [self.names[0]]:
            known = respelled(list(found), self.names[0], found[first])
            document.complaints.note(known)
        return first, found[first]


KEYS: Final = (
    Key("hidden_size", ("hidden_size", "n_embd")),
    Key("num_layers", ("num_hidden_layers", "n_layer", "n_layers", "num_layers")),
    Key("num_heads", ("num_attention_heads", "n_head", "n_heads")),
    Key("num_kv_heads", ("num_key_value_heads", "n_kv_heads", "num_kv_heads")),
    Key("head_dim", ("head_dim",)),
    Key("vocab_size", ("vocab_size",)),
    Key("intermediate_size", ("intermediate_size", "n_inner")),
    Key(
        "max_position_embeddings",
        ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length"),
        synonyms=False,
    ),
    Key(
        "norm_eps",
        (
            "rms_norm_eps",
            "norm_eps",
            "layer_norm_eps",
            "layer_norm_epsilon",
            "norm_epsilon",
        ),
        "number",
        synonyms=False,
    ),
    Key("tie_embeddings", ("tie_word_embeddings",), "flag"),
    Key("attention_bias", ("attention_bias",), "flag"),
    Key("mlp_bias", ("mlp_bias",), "flag"),
    Key(
        "activation",
        ("hidden_activation", "hidden_act", "activation_function"),
        "text",
        synonyms=False,
    ),
    Key("query_scale", ("query_pre_attn_scalar",), "number"),
    Key("attention_softcap", ("attn_logit_softcapping",), "number"),
    Key("final_softcap", ("final_logit_softcapping",), "number"),
    Key("num_experts", ("num_experts", "num_local_experts", "n_routed_experts")),
    Key("num_experts_per_tok", ("num_experts_per_tok",)),
    Key("moe_intermediate_size", ("moe_intermediate_size",)),
    Key("shared_intermediate_size", ("shared_expert_intermediate_size",)),
    Key("norm_topk_prob", ("norm_topk_prob",), "flag"),
)
"""The fields that a single key says; windows and rotary embeddings take several."""


CAPS: Final = ("attention_softcap", "final_softcap")
"""Fields of which 0 says that there is no cap."""


def class_values(
    document: Document, ways: ConfigClass, values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return what a class means by keys that mean something else, or nothing, alone."""
    found: dict[str, Any] = {}
    if ways.loose_gelu and values["activation"] == "gelu":
        found["activation"] = "gelu_pytorch_tanh"
    if ways.capped:
        caps = {key.field: key.names[0] for key in KEYS if key.field in CAPS}
        nulls = (field for field, name in caps.items() if name in document)
        found |= {field: 0.0 for field in nulls if values[field] is None}
    return found


def field_of(key: str) -> str:
    """Return the field of the configuration that a key means, or nothing."""
    return next((each.field for each in KEYS if key in each.names), "")


def written_name(key: Key, ways: ConfigClass) -> str:
    """Return the key under which a class expects a field."""
    special = {"activation": ways.activation, "num_experts": ways.experts}
    return special.get(key.field, key.names[0])


def spelled_keys(config: ModelConfig, ways: ConfigClass) -> Iterator[tuple[Key, Any]]:
    """Yield each key that a class has and a configuration has a value for."""
    for key in KEYS:
        value = getattr(config, key.field)
        if value is not None and key.field not in ways.lacks:
            yield key, spelled_value(key, value)


def spelled_value(key: Key, value: Any) -> Any:
    """Return a value as the classes declare it: whole scales as whole numbers."""
    if key.field == "query_scale" and float(value).is_integer():
        return int(value)
    if key.field in CAPS and not value:
        return None
    return float(value) if key.kind == "number" else value
