"""Whether llama.cpp would load and run a model.

The checks are those of `llama-model-loader.cpp`, `llama-model.cpp` and
`llama-vocab.cpp`. That no weight of the family is missing is the hub's to check.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from aprhub.api import Fault, FlatVocabulary, ModelConfig, StoredModel, Tensor
from aprhub_gguf.architectures import (
    ARCHITECTURES,
    FULLY_ROTARY,
    HEADED,
    HEADLESS,
    NORMALISED,
    PRE_TOKENIZERS,
    RMS_NORM,
    TOKENIZER_MODELS,
    UNSPLIT,
)
from aprhub_gguf.encodings import is_kept_in_f32
from aprhub_gguf.vocabulary import repeated_tokens

_EMBEDDING: Final = "token_embd.weight"
_HEAD: Final = "output.weight"
_FINAL_NORM: Final = "output_norm.weight"
_ROPE_FACTORS: Final = ("rope_freqs.weight",)
_LONG_FACTORS: Final = ("rope_factors_long.weight", "rope_factors_short.weight")
_MAX_LAYERS: Final = 512

_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
_REQUIRED: Final = ("max_position_embeddings", "hidden_size", "num_layers")
_COMPUTED: Final = frozenset(("f32", "f16", "bf16"))
_NOT_COMPUTED: Final = frozenset(("q8_1", "q8_k"))
_SCALINGS: Final[Mapping[str, Sequence[str]]] = {
    "linear": (),
    "yarn": (),
    "longrope": _LONG_FACTORS,
    "llama3": _ROPE_FACTORS,
    "factors": _ROPE_FACTORS,
}
"""The kinds of scaling that there are, and the tensors that each needs."""
_BYTE_PAIR_MODELS: Final = frozenset(("gpt2", "gemma4"))
_SCORED_MODELS: Final = frozenset(("llama", "t5"))


def runnable_faults(stored: StoredModel) -> Sequence[Fault]:
    """Return everything for which llama.cpp would refuse a model that was written.

    And a tokenizer that is missing: it loads such a model, but only tokens go in.
    """
    faults = [
        *_architecture_faults(stored.config),
        *_size_faults(stored.config),
        *_expert_faults(stored.config),
        *_head_faults(stored),
        *_scaling_faults(stored),
        *_tensor_faults(stored.tensors),
        *_block_faults(stored),
        *_output_faults(stored),
        *_embedding_faults(stored),
    ]
    if stored.tokenizer and stored.tokenizer.flat:
        faults += _vocabulary_faults(stored.tokenizer.flat)
    else:
        what = "text cannot be turned into tokens"
        faults.append(Fault("tokenizer", "missing", what))
    return faults


def _architecture_faults(config: ModelConfig) -> Iterator[Fault]:
    name = config.identity.architecture
    if name not in ARCHITECTURES:
        yield Fault("general.architecture", f"llama.cpp has no architecture {name!r}")


def _size_faults(config: ModelConfig) -> Iterator[Fault]:
    for field in _REQUIRED:
        if not getattr(config, field):
            yield Fault(field, f"{getattr(config, field)} where llama.cpp needs a size")
    if (config.num_layers or 0) > _MAX_LAYERS:
        yield Fault("num_layers", f"{config.num_layers}; the most is {_MAX_LAYERS}")
    if config.identity.architecture in RMS_NORM and not config.norm_eps:
        yield Fault("norm_eps", f"{config.norm_eps} where llama.cpp needs a number")
    if config.rope_theta is not None and config.rope_theta <= 0:
        yield Fault("rope_theta", f"{config.rope_theta} is no base of frequencies")


def _expert_faults(config: ModelConfig) -> Iterator[Fault]:
    experts, used = config.num_experts or 0, config.num_experts_per_tok or 0
    if used > experts or bool(used) != bool(experts):
        yield Fault("num_experts_per_tok", f"{used} of {experts} experts")
    architecture = config.identity.architecture or ""
    normalised = NORMALISED.get(architecture, config.norm_topk_prob)
    if config.norm_topk_prob not in (None, normalised):
        said = str(config.norm_topk_prob).lower()
        yield Fault("norm_topk_prob", f"{said}, where {architecture} has the contrary")


def _head_faults(stored: StoredModel) -> Iterator[Fault]:
    config = stored.config
    heads, kv_heads, size = config.num_heads, config.num_kv_heads, config.head_dim
    if heads and kv_heads and heads % kv_heads:
        yield Fault("num_kv_heads", f"{kv_heads} do not divide {heads} heads")
    architecture = config.identity.architecture or ""
    if heads and size is None:
        yield Fault("head_dim", f"{config.hidden_size} is not {heads} equal heads")
    if (
        architecture in UNSPLIT
        and size
        and heads
        and size * heads != config.hidden_size
    ):
        yield Fault("head_dim", f"{heads} of {size} are not {config.hidden_size} wide")
    if architecture in FULLY_ROTARY and config.rotary_dim not in (None, size):
        yield Fault("rope.dimension_count", f"{config.rotary_dim} of {size} elements")


def _scaling_faults(stored: StoredModel) -> Iterator[Fault]:
    scaling = stored.config.rope_scaling
    if scaling is None:
        return
    if scaling.kind not in _SCALINGS:
        yield Fault("rope_scaling", f"llama.cpp has no scaling {scaling.kind!r}")
    for name in _SCALINGS.get(scaling.kind, ()):
        if name not in stored.tensors:
            yield Fault(name, f"missing, though the scaling is {scaling.kind}")


def _tensor_faults(tensors: Mapping[str, Tensor]) -> Iterator[Fault]:
    for name, tensor in tensors.items():
        encoding = tensor.encoding
        if is_kept_in_f32(name, tensor) and encoding.name != "f32":
            yield Fault(name, f"{encoding.name} where llama.cpp reads f32 only")
        elif encoding.is_plain and encoding.name not in _COMPUTED:
            repair = "convert with --dtype f32, f16 or bf16"
            yield Fault(
                name, f"llama.cpp does not compute with {encoding.name}", repair
            )
        elif encoding.flat or encoding.name in _NOT_COMPUTED:
            yield Fault(name, f"llama.cpp does not compute with {encoding.name}")


def _block_faults(stored: StoredModel) -> Iterator[Fault]:
    """Compare every layer with the first; known families repeat one layer."""
    layers: dict[int, set[str]] = {}
    for name in stored.tensors:
        found = _BLOCK.fullmatch(name)
        if found:
            layers.setdefault(int(found[1]), set()).add(found[2])
    count = stored.config.num_layers or 0
    for surplus in sorted(layer for layer in layers if layer >= count):
        yield Fault(f"blk.{surplus}", f"the model has {count} layers")
    if stored.family is None:
        return
    for layer in range(count):
        for missing in sorted(layers.get(0, set()) - layers.get(layer, set())):
            yield Fault(f"blk.{layer}.{missing}", "missing, though blk.0 has it")


def _output_faults(stored: StoredModel) -> Iterator[Fault]:
    architecture = stored.config.identity.architecture
    for name in (_EMBEDDING, _FINAL_NORM):
        if stored.family is not None and name not in stored.tensors:
            yield Fault(name, "missing")
    if architecture in HEADLESS and _HEAD in stored.tensors:
        yield Fault(_HEAD, f"{architecture} uses the embedding and must not have it")
    if architecture in HEADED and _HEAD not in stored.tensors:
        yield Fault(_HEAD, f"missing; {architecture} does not use the embedding")


def _embedding_faults(stored: StoredModel) -> Iterator[Fault]:
    vocabulary = stored.tokenizer.flat if stored.tokenizer else None
    rows = len(vocabulary.tokens) if vocabulary else stored.config.vocab_size
    for name in (_EMBEDDING, _HEAD):
        tensor = stored.tensors.get(name)
        expected = (rows, stored.config.hidden_size)
        if tensor is not None and tensor.shape != expected:
            yield Fault(name, f"{tensor.shape}; tokens and hidden size give {expected}")


def _vocabulary_faults(flat: FlatVocabulary) -> Iterator[Fault]:
    repeated = repeated_tokens(flat.tokens)
    if repeated:
        yield Fault("tokens", f"{len(repeated)} are there more than once")
    if flat.model not in TOKENIZER_MODELS:
        yield Fault("tokenizer.ggml.model", f"llama.cpp does not know {flat.model!r}")
    if flat.model in _BYTE_PAIR_MODELS and flat.merges is None:
        yield Fault("merges", f"missing; {flat.model} needs them")
    if flat.model == "gpt2" and flat.pre not in (None, *PRE_TOKENIZERS):
        yield Fault("tokenizer.ggml.pre", f"llama.cpp does not know {flat.pre!r}")
    if flat.model in _SCORED_MODELS and flat.scores is None:
        yield Fault("scores", f"missing; {flat.model} needs them")
    for name, values in (("scores", flat.scores), ("types", flat.types)):
        if values is not None and len(values) != len(flat.tokens):
            yield Fault(name, f"{len(values)} for {len(flat.tokens)} tokens")
