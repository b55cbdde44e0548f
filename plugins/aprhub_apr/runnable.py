"""What programs that run APR files ask of one, and refuse or misread otherwise.

Sections 6 and 7 of the APR v2 specification; the ids are the ones under which those
programs report the same faults.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from aprhub.api import Fault, ModelConfig, StoredModel, Tensor
from aprhub_apr.configuration import config_keys, rope_type
from aprhub_apr.tables import RUNNABLE_TYPES

_NEEDED: Final = ("hidden_size", "num_layers", "num_heads", "intermediate_size")

_LARGEST: Final[Mapping[str, int]] = {
    "hidden_size": 65_536,
    "num_layers": 256,
    "num_heads": 256,
    "num_kv_heads": 256,
    "vocab_size": 1_000_000,
    "intermediate_size": 262_144,
    "max_position_embeddings": 2_097_152,
}

_MOST_EXPERTS: Final = 4096

_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "rope_theta": (1, 1e8),
    "norm_eps": (1e-10, 0.01),
}
"""Ranges of numbers, beside 0."""

_SET: Final = "correct it in the source with 'aprhub stamp --set'"
_WRITE_FOLDER: Final = "write a Hugging Face folder instead"
_WRITE_GGUF: Final = "write a GGUF, which has no such limit, or correct the source"
_BY_DOCTOR: Final = "repair the source with 'aprhub doctor --fix -o OUT'"
_TAKE_WHOLE: Final = "take a checkpoint that has it, or name the right --family"
_CAST: Final = "convert with --dtype f32, f16 or bf16"
_TAKE_FLOATS: Final = "take a checkpoint that has it in floats"
_STAMP_TOKENIZER: Final = "give the source one with 'aprhub stamp --tokenizer'"

_EMBEDDINGS: Final = ("embed_tokens", "tok_embeddings", "token_embd")
_HEADS: Final = ("lm_head.weight", "output.weight")

_ONCE: Final[Mapping[str, str]] = {
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}

_LAYER: Final[Mapping[str, str]] = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
}

_PROJECTIONS: Final = ("gate", "up", "down")
_DENSE: Final[Mapping[str, str]] = {
    f"mlp.{each}_proj.weight": f"ffn_{each}.weight" for each in _PROJECTIONS
}
_SHARED: Final[Mapping[str, str]] = {
    f"mlp.shared_expert.{each}_proj.weight": f"ffn_{each}_shexp.weight"
    for each in _PROJECTIONS
} | {"mlp.shared_expert_gate.weight": "ffn_gate_inp_shexp.weight"}

_BIASES: Final[Mapping[str, str]] = {
    "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.bias": "attn_v.bias",
}

_NORMS: Final[Mapping[str, str]] = {
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
}

_FAMILY_LAYER: Final[Mapping[str, Mapping[str, str]]] = {
    "qwen2": _BIASES,
    "qwen2_moe": {**_BIASES, **_SHARED},
    "phi": _BIASES,
    "qwen3": _NORMS,
    "qwen3_moe": _NORMS,
}
"""What every layer of some families has besides, by slug; Hugging Face's name and
ggml's, of which either will do."""


def runnable(stored: StoredModel) -> Sequence[Fault]:
    """Return what keeps a model from being run, and what it would be misread for.

    A model that is not written yet is judged by what would be written.
    """
    return (
        *_architecture_faults(stored),
        *_dimension_faults(stored.config),
        *_division_faults(stored.config),
        *_expert_faults(stored.config),
        *_bound_faults(stored.config),
        *_attention_faults(stored.config),
        *_rope_faults(stored),
        *_vocabulary_faults(stored),
        *_missing_faults(stored),
        *_type_faults(stored.tensors),
        *_tokenizer_faults(stored),
    )


def _said(stored: StoredModel, key: str) -> Any:
    """Return what the file says, or would say; only what was read has fates."""
    if not stored.fates:
        return config_keys(stored).get(key)
    carried = stored.carried.get("apr", {})
    return {"architecture": stored.config.identity.architecture, **carried}.get(key)


def _architecture_faults(stored: StoredModel) -> Iterator[Fault]:
    name, family = _said(stored, "architecture"), stored.family
    if not name:
        yield Fault("C-01", "missing 'architecture'", "convert it with --family")
    elif family and name != family.slug:
        yield Fault(
            "C-01",
            f"architecture is {name!r}, by which programs do not know {family.name}"
            " models: they would run it as something else",
            f"set {family.slug!r} with 'aprhub stamp --architecture'",
        )


def _dimension_faults(config: ModelConfig) -> Iterator[Fault]:
    for name in _NEEDED:
        value = getattr(config, name)
        if value is None:
            yield Fault("C-03", f"missing {name!r}", _BY_DOCTOR)
        elif value < 1:
            what = f"{name} is {value}, expected a positive integer"
            yield Fault("C-03", what, _BY_DOCTOR)


def _division_faults(config: ModelConfig) -> Iterator[Fault]:
    heads, kv_heads = config.num_heads, config.num_kv_heads
    hidden = config.hidden_size
    if hidden and heads and hidden % heads:
        what = f"hidden_size {hidden} is not a multiple of num_heads {heads}"
        yield Fault("C-03", what, _BY_DOCTOR)
    if heads and kv_heads is not None and (kv_heads < 1 or heads % kv_heads):
        what = f"num_heads {heads} is not a multiple of num_kv_heads {kv_heads}"
        yield Fault("C-03", what, _BY_DOCTOR)


def _expert_faults(config: ModelConfig) -> Iterator[Fault]:
    experts, used = config.num_experts or 0, config.num_experts_per_tok or 0
    if used > experts or bool(used) != bool(experts):
        expected = f"1 to {experts}" if experts else "none"
        what = f"{used} of {experts} experts, expected {expected}"
        yield Fault("num_experts_per_tok", what, _SET)


def _bound_faults(config: ModelConfig) -> Iterator[Fault]:
    for name, largest in _LARGEST.items():
        value = getattr(config, name)
        if value is not None and value > largest:
            what = f"{value} is over {largest}, which is the limit"
            yield Fault(name, what, _WRITE_GGUF)
    for name, (low, high) in _RANGES.items():
        value = getattr(config, name)
        if value and not low <= value <= high:
            what = f"{value} is outside {low:g} to {high:g}"
            yield Fault(name, what, _WRITE_GGUF)


def _attention_faults(config: ModelConfig) -> Iterator[Fault]:
    if config.bidirectional:
        what = "true, but programs let no token see those behind it"
        yield Fault("bidirectional", what, _WRITE_FOLDER)


def _rope_faults(stored: StoredModel) -> Iterator[Fault]:
    said, expected = _said(stored, "rope_type"), rope_type(stored)
    if stored.naming and expected is not None and said != expected:
        found = "missing" if said is None else f"is {said}"
        yield Fault(
            "rope_type",
            f"{found}, but the rows are in the order of {expected}",
            f"use 'aprhub stamp --set rope_type={expected}'",
        )


def _vocabulary_faults(stored: StoredModel) -> Iterator[Fault]:
    vocabulary, hidden = stored.config.vocab_size, stored.config.hidden_size
    if vocabulary is None or hidden is None:
        return
    for name, tensor in stored.tensors.items():
        if not _is_embedding(name) and name not in _HEADS:
            continue
        if tensor.shape != (vocabulary, hidden):
            yield Fault(
                "OBLIG-APR-VOCAB-EMBED-CONSISTENT",
                f"{name} has shape {list(tensor.shape)}, expected vocab_size and"
                f" hidden_size {[vocabulary, hidden]}",
                _BY_DOCTOR,
            )


def _is_embedding(name: str) -> bool:
    return any(part in name for part in _EMBEDDINGS)


def _missing_faults(stored: StoredModel) -> Iterator[Fault]:
    names = stored.tensors.keys()
    if not any(map(_is_embedding, names)):
        yield Fault("model.embed_tokens.weight", "missing", _TAKE_WHOLE)
    for ours, theirs in _ONCE.items():
        if ours not in names and theirs not in names:
            yield Fault(ours, "missing", _TAKE_WHOLE)
    slug = stored.family.slug if stored.family else ""
    parts = {**_LAYER, **_mlp(stored.config), **_FAMILY_LAYER.get(slug, {})}
    for ours, theirs in parts.items():
        lacking = [
            layer
            for layer in _layers(stored.config)
            if f"model.layers.{layer}.{ours}" not in names
            and f"blk.{layer}.{theirs}" not in names
        ]
        if lacking:
            what = f"missing in layers {', '.join(map(str, lacking))}"
            yield Fault(f"model.layers.N.{ours}", what, _TAKE_WHOLE)


def _mlp(config: ModelConfig) -> dict[str, str]:
    """Return the feed-forward part of a layer, or the router and all experts."""
    if not config.num_experts:
        return dict(_DENSE)
    experts = {
        f"mlp.experts.{expert}.{each}_proj.weight": f"ffn_{each}_exps.weight"
        for expert in range(min(config.num_experts, _MOST_EXPERTS))
        for each in _PROJECTIONS
    }
    return {"mlp.gate.weight": "ffn_gate_inp.weight", **experts}


def _layers(config: ModelConfig) -> range:
    return range(min(config.num_layers or 0, _LARGEST["num_layers"]))


def _type_faults(tensors: Mapping[str, Tensor]) -> Iterator[Fault]:
    for name, tensor in tensors.items():
        encoding = tensor.encoding
        if encoding.name not in RUNNABLE_TYPES:
            what = f"{encoding.name}, which would be read as another type"
            casts = encoding.is_float or encoding.is_quantized
            yield Fault(name, what, _CAST if casts else _TAKE_FLOATS)
        elif len(tensor.shape) < 2 and encoding.name != "f32":
            what = f"a vector of {encoding.name}, which would be read as f32"
            yield Fault(name, what, "convert the file again: vectors become f32")


def _tokenizer_faults(stored: StoredModel) -> Iterator[Fault]:
    flat = stored.tokenizer.flat if stored.tokenizer else None
    if flat is None:
        yield Fault(
            "PMAT-172",
            "missing embedded tokenizer (tokenizer.vocabulary is missing or empty)",
            _STAMP_TOKENIZER,
        )
    elif not flat.merges and flat.scores is None:
        yield Fault(
            "PMAT-172",
            "the tokenizer is not loadable: tokenizer.vocabulary needs"
            " tokenizer.merges or tokenizer.scores beside it",
            _STAMP_TOKENIZER,
        )
    elif flat.scores is not None and not flat.merges and "<unk>" not in flat.tokens:
        what = "the vocabulary has scores and no '<unk>', so it is not loaded"
        yield Fault("PMAT-172", what, "write a GGUF, whose programs load it")
