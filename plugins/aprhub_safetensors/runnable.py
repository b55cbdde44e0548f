"""What transformers needs to load and run a model."""

from collections.abc import Iterator
from typing import Final

from attrs import evolve

from aprhub.api import Fault, ModelConfig, StoredModel
from aprhub_safetensors.attention import SLIDING
from aprhub_safetensors.classes import CLASSES, class_of
from aprhub_safetensors.defaults import completed
from aprhub_safetensors.rope import FACTORS, LONGROPE
from aprhub_safetensors.spelling import identity_names

EMBEDDING: Final = "model.embed_tokens.weight"
HEAD: Final = "lm_head.weight"

SIZES: Final = (
    "hidden_size",
    "num_layers",
    "num_heads",
    "vocab_size",
    "intermediate_size",
)


_OTHERWISE: Final = "write another format, such as APR"
_CORRECT: Final = "correct it in the source, such as with 'aprhub stamp --set'"


def faults(stored: StoredModel) -> Iterator[Fault]:
    """Yield everything that would keep transformers from running a model."""
    yield from _identity(stored)
    # What the class assumes need not be said.
    stored = evolve(stored, config=completed(stored.config, stored.family))
    yield from _sizes(stored.config)
    yield from _rotary(stored)
    yield from _experts(stored.config)
    yield from _weights(stored)
    yield from _tokenizer(stored)


def _identity(stored: StoredModel) -> Iterator[Fault]:
    _, model_type = identity_names(stored)
    if not model_type:
        repair = "say the family with --family"
        yield Fault("config.json", "no model_type, by which it is loaded", repair)


def _sizes(config: ModelConfig) -> Iterator[Fault]:
    for name in SIZES:
        value = getattr(config, name)
        if not value or value < 0:
            yield Fault(name, f"is {value}, must be positive", _CORRECT)
    heads, shared = config.num_heads, config.num_kv_heads
    if heads and shared is not None and (shared <= 0 or heads % shared):
        problem = f"{shared} does not divide {heads} heads"
        yield Fault("num_kv_heads", problem, _CORRECT)
    if heads and config.hidden_size and config.hidden_size % heads:
        problem = f"{config.hidden_size} is not a multiple of {heads} heads"
        yield Fault("hidden_size", problem, _CORRECT)
    if config.head_dim is not None and (config.head_dim <= 0 or config.head_dim % 2):
        problem = f"is {config.head_dim}, must be even for rotary embeddings"
        yield Fault("head_dim", problem, _CORRECT)


def _rotary(stored: StoredModel) -> Iterator[Fault]:
    config, (_, model_type) = stored.config, identity_names(stored)
    ways, scaling = class_of(model_type), config.rope_scaling
    if config.rotary_dim not in (None, config.head_dim) and not ways.partial:
        problem = f"{config.rotary_dim} of {config.head_dim} elements of a head"
        yield Fault("rotary_dim", f"{problem}; {model_type} rotates all", _OTHERWISE)
    slides = model_type in CLASSES and SLIDING in (config.layer_kinds or ())
    local = config.rope_local_theta
    if slides and not ways.local and local not in (None, config.rope_theta):
        problem = f"{local} for sliding layers; {model_type} has one for all"
        yield Fault("rope_local_theta", problem, _OTHERWISE)
    if scaling and ways.trained_length and scaling.kind not in (LONGROPE, FACTORS):
        problem = f"{scaling.kind}; {model_type} knows {LONGROPE} alone"
        yield Fault("rope_scaling", problem, _OTHERWISE)


def _experts(config: ModelConfig) -> Iterator[Fault]:
    experts, used = config.num_experts or 0, config.num_experts_per_tok or 0
    if experts and not 0 < used <= experts:
        problem = f"{used} of {experts} experts, expected 1 to {experts}"
        yield Fault("num_experts_per_tok", problem, _CORRECT)


def _weights(stored: StoredModel) -> Iterator[Fault]:
    embedding = stored.tensors.get(EMBEDDING)
    rows = embedding.shape[0] if embedding and embedding.shape else None
    if rows != stored.config.vocab_size:
        problem = f"has {rows} rows, vocab_size is {stored.config.vocab_size}"
        yield Fault(EMBEDDING, problem, "correct vocab_size in the source")
    if HEAD not in stored.tensors and stored.config.tie_embeddings is False:
        repair = "take a source that has it, or set tie_word_embeddings to true there"
        yield Fault(HEAD, "missing, and the embedding is not tied to it", repair)


def _tokenizer(stored: StoredModel) -> Iterator[Fault]:
    """Look at the ends of the text only: parsing 150,000 tokens takes too long."""
    program = stored.tokenizer.program if stored.tokenizer else None
    if program is None:
        problem = "missing, so that text cannot be turned into tokens"
        repair = "give the source one with 'aprhub stamp --tokenizer'"
        yield Fault("tokenizer.json", problem, repair)
        return
    is_object = program.lstrip()[:1] + program.rstrip()[-1:] == b"{}"
    if not is_object or b'"model"' not in program:
        repair = "get it again, or write it anew with transformers"
        yield Fault("tokenizer.json", "not an object with a model", repair)
