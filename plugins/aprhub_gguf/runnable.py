"""Whether llama.cpp would load and run a model.

The checks are those of `llama-model-loader.cpp`, `llama-model.cpp` and
`llama-vocab.cpp`. That no weight of the family is missing is the hub's to check.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from aprhub.api import (
    Fault,
    FlatVocabulary,
    ModelConfig,
    StoredModel,
    Tensor,
    near_miss,
)
from aprhub_gguf.architectures import (
    ARCHITECTURES,
    FULLY_ROTARY,
    HEADED,
    HEADLESS,
    PRE_TOKENIZERS,
    RMS_NORM,
    TOKENIZER_MODELS,
    UNSPLIT,
)
from aprhub_gguf.computing import computed_otherwise
from aprhub_gguf.encodings import is_kept_in_f32
from aprhub_gguf.table import CAST, WRITE_FOLDER
from aprhub_gguf.vocabulary import repeated_tokens

_EMBEDDING: Final = "token_embd.weight"
_HEAD: Final = "output.weight"
_FINAL_NORM: Final = "output_norm.weight"
_MAX_LAYERS: Final = 512

_SET: Final = "correct it in the source with 'aprhub stamp --set'"
_BY_DOCTOR: Final = "repair the source with 'aprhub doctor --fix -o OUT'"
_TAKE_WHOLE: Final = "take a checkpoint that has it, or name the right --family"
_TAKE_FLOATS: Final = "take a checkpoint that has it in floats"
_STAMP_TOKENIZER: Final = "give the source one with 'aprhub stamp --tokenizer'"

_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
_REQUIRED: Final = ("max_position_embeddings", "hidden_size", "num_layers")
_COMPUTED: Final = frozenset(("f32", "f16", "bf16"))
_NOT_COMPUTED: Final = frozenset(("q8_1", "q8_k"))
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
        *computed_otherwise(stored),
        *_tensor_faults(stored.tensors),
        *_block_faults(stored),
        *_output_faults(stored),
        *_embedding_faults(stored),
    ]
    if stored.tokenizer and stored.tokenizer.flat:
        faults += _vocabulary_faults(stored.tokenizer.flat)
    else:
        what = "missing, so text cannot be turned into tokens"
        faults.append(Fault("tokenizer", what, _STAMP_TOKENIZER))
    return faults


def _architecture_faults(config: ModelConfig) -> Iterator[Fault]:
    name = config.identity.architecture
    if name not in ARCHITECTURES:
        near = near_miss(name or "", ARCHITECTURES)
        what = f"llama.cpp has no architecture {name!r:.80}{near}"
        yield Fault("general.architecture", what, f"{WRITE_FOLDER}, or name --family")


def _size_faults(config: ModelConfig) -> Iterator[Fault]:
    for field in _REQUIRED:
        if not getattr(config, field):
            what = f"{getattr(config, field)} where llama.cpp needs a size"
            yield Fault(field, what, _SET)
    if (config.num_layers or 0) > _MAX_LAYERS:
        what = f"{config.num_layers}, the most is {_MAX_LAYERS}"
        yield Fault("num_layers", what, WRITE_FOLDER)
    if config.identity.architecture in RMS_NORM and not config.norm_eps:
        what = f"{config.norm_eps} where llama.cpp needs a number above 0"
        yield Fault("norm_eps", what, _SET)
    if config.rope_theta is not None and config.rope_theta <= 0:
        what = f"{config.rope_theta} is no base of frequencies, which is above 0"
        yield Fault("rope_theta", what, _SET)


def _expert_faults(config: ModelConfig) -> Iterator[Fault]:
    experts, used = config.num_experts or 0, config.num_experts_per_tok or 0
    if used > experts or bool(used) != bool(experts):
        expected = f"1 to {experts}" if experts else "none"
        what = f"{used} of {experts} experts, expected {expected}"
        yield Fault("num_experts_per_tok", what, _SET)


def _head_faults(stored: StoredModel) -> Iterator[Fault]:
    config = stored.config
    heads, kv_heads, size = config.num_heads, config.num_kv_heads, config.head_dim
    if heads and kv_heads and heads % kv_heads:
        what = f"{kv_heads} do not divide {heads} heads"
        yield Fault("num_kv_heads", what, _BY_DOCTOR)
    architecture = config.identity.architecture or ""
    if heads and size is None:
        what = f"{config.hidden_size} is not {heads} equal heads"
        yield Fault("head_dim", what, _BY_DOCTOR)
    if (
        architecture in UNSPLIT
        and size
        and heads
        and size * heads != config.hidden_size
    ):
        what = f"{heads} of {size} are not {config.hidden_size} wide"
        yield Fault("head_dim", what, WRITE_FOLDER)
    if architecture in FULLY_ROTARY and config.rotary_dim not in (None, size):
        what = f"{config.rotary_dim} of {size} elements, {architecture} rotates all"
        yield Fault("rope.dimension_count", what, WRITE_FOLDER)


def _tensor_faults(tensors: Mapping[str, Tensor]) -> Iterator[Fault]:
    for name, tensor in tensors.items():
        encoding = tensor.encoding
        if is_kept_in_f32(name, tensor) and encoding.name != "f32":
            what = f"{encoding.name} where llama.cpp reads f32 only"
            yield Fault(name, what, "convert the file again, which writes it as f32")
        elif encoding.is_plain and encoding.name not in _COMPUTED:
            what = f"llama.cpp does not compute with {encoding.name}"
            yield Fault(name, what, CAST if encoding.is_float else _TAKE_FLOATS)
        elif encoding.flat or encoding.name in _NOT_COMPUTED:
            what = f"llama.cpp does not compute with {encoding.name}"
            yield Fault(name, what, "quantise the original model anew")


def _block_faults(stored: StoredModel) -> Iterator[Fault]:
    """Compare every layer with the first; known families repeat one layer."""
    layers: dict[int, set[str]] = {}
    for name in stored.tensors:
        found = _BLOCK.fullmatch(name)
        if found:
            layers.setdefault(int(found[1]), set()).add(found[2])
    count = stored.config.num_layers or 0
    for surplus in sorted(layer for layer in layers if layer >= count):
        yield Fault(f"blk.{surplus}", f"the model has {count} layers", _BY_DOCTOR)
    if stored.family is None:
        return
    for layer in range(count):
        for missing in sorted(layers.get(0, set()) - layers.get(layer, set())):
            what = "missing, though blk.0 has it"
            yield Fault(f"blk.{layer}.{missing}", what, _TAKE_WHOLE)


def _output_faults(stored: StoredModel) -> Iterator[Fault]:
    architecture = stored.config.identity.architecture
    for name in (_EMBEDDING, _FINAL_NORM):
        if stored.family is not None and name not in stored.tensors:
            yield Fault(name, "missing", _TAKE_WHOLE)
    if architecture in HEADLESS and _HEAD in stored.tensors:
        what = f"{architecture} uses the embedding and must not have it"
        yield Fault(_HEAD, what, WRITE_FOLDER)
    if architecture in HEADED and _HEAD not in stored.tensors:
        what = f"missing, and {architecture} does not use the embedding"
        yield Fault(_HEAD, what, WRITE_FOLDER)


def _embedding_faults(stored: StoredModel) -> Iterator[Fault]:
    vocabulary = stored.tokenizer.flat if stored.tokenizer else None
    rows = len(vocabulary.tokens) if vocabulary else stored.config.vocab_size
    for name in (_EMBEDDING, _HEAD):
        tensor = stored.tensors.get(name)
        expected = (rows, stored.config.hidden_size)
        if tensor is not None and tensor.shape != expected:
            what = f"{tensor.shape}, but tokens and hidden size give {expected}"
            yield Fault(name, what, _BY_DOCTOR)


def _vocabulary_faults(flat: FlatVocabulary) -> Iterator[Fault]:
    repeated = repeated_tokens(flat.tokens)
    if repeated:
        what = f"{len(repeated)} are there more than once, such as {repeated[0]!r:.80}"
        yield Fault("tokens", what, "give the unused ones names of their own")
    if flat.model not in TOKENIZER_MODELS:
        known = ", ".join(sorted(TOKENIZER_MODELS))
        what = f"llama.cpp does not know {flat.model!r:.80}, but {known}"
        yield Fault("tokenizer.ggml.model", what, _STAMP_TOKENIZER)
    if flat.model in _BYTE_PAIR_MODELS and flat.merges is None:
        yield Fault("merges", f"missing, {flat.model} needs them", _STAMP_TOKENIZER)
    if flat.model == "gpt2" and flat.pre not in (None, *PRE_TOKENIZERS):
        near = near_miss(flat.pre or "", PRE_TOKENIZERS)
        what = f"llama.cpp does not know {flat.pre!r:.80}{near}"
        yield Fault("tokenizer.ggml.pre", what, _STAMP_TOKENIZER)
    if flat.model in _SCORED_MODELS and flat.scores is None:
        yield Fault("scores", f"missing, {flat.model} needs them", _STAMP_TOKENIZER)
    for name, values in (("scores", flat.scores), ("types", flat.types)):
        if values is not None and len(values) != len(flat.tokens):
            what = f"{len(values)} for {len(flat.tokens)} tokens"
            yield Fault(name, what, _STAMP_TOKENIZER)
