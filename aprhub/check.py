"""Whether a canonical model fits its family: weights, shapes, sizes, vocabulary."""

from collections.abc import Iterator, Sequence

import numpy as np
from attrs import asdict, evolve

from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.config import ModelConfig
from aprhub.ir.model import EMBEDDING, HEAD, ModelIR
from aprhub.ir.texts import as_texts
from aprhub.ir.tokenizer import FlatVocabulary
from aprhub.lift import Lifted
from aprhub.spec.family import Family, WeightSpec
from aprhub.spec.format import Format, StoredModel

SIZES = (
    "hidden_size",
    "num_layers",
    "num_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "norm_eps",
)
NUMBERS = (
    "norm_eps",
    "rope_theta",
    "rope_local_theta",
    "query_scale",
    "attention_softcap",
    "final_softcap",
)
MAX_LAYERS = 1 << 12
MAX_EXPERTS = 1 << 17
"""More experts than any model has in all its layers together."""
LARGEST_F32 = 3.4e38
SMALLEST_F32 = 1.2e-38
"""Of full precision; many programs take smaller ones for zero."""

_SET = "set the right value with 'aprhub stamp --set'"
_WHOLE = "get the whole model again, or name another --family"
_TOKENIZER = "give it its own tokenizer with 'aprhub stamp --tokenizer'"

MODELS = frozenset(
    ("gpt2", "llama", "t5", "bert", "rwkv", "plamo2", "gemma4", "whitespace")
)
"""The kinds of vocabulary that programs know; the words are ggml's."""


def checked(lifted: Lifted, stored: StoredModel) -> Lifted:
    """Return what was lifted, or raise ModelCheckError with every fault of it."""
    if lifted.family is None:
        return lifted
    found = faults(lifted.model, lifted.family)
    if found:
        what = (
            f"not a sound {lifted.family.name} model: {len(found)} fault(s); see what"
            " 'aprhub doctor' can repair"
        )
        raise ModelCheckError(stored.path, what, found)
    return lifted


def unrunnable(found: StoredModel, fmt: Format, meant: StoredModel) -> Sequence[Fault]:
    """Return what would keep a written model from running as it was meant.

    What every model has to say is judged as the file says it. Of the rest, what the
    file does not say is judged as it was meant: programs would take something else.
    """
    values = asdict(meant.config, recurse=False)
    unsaid = {name: value for name, value in values.items() if name not in SIZES}
    return fmt.runnable(evolve(found, config=found.config.filled(unsaid)))


def faults(model: ModelIR, family: Family) -> list[Fault]:
    """Return everything that does not fit; sizes first, since shapes need them."""
    wrong = [*_sizes(model.config), *_numbers(model.config)]
    if wrong:
        return wrong
    return [*_weights(model, family), *_ties(model), *_vocabulary(model)]


def _sizes(config: ModelConfig) -> Iterator[Fault]:
    for name in SIZES:
        value = getattr(config, name)
        if value is None:
            yield Fault(name, "not given by the file (C-03)", _SET)
        elif value <= 0:
            yield Fault(name, f"must be positive, is {value} (C-03)", _SET)
    heads, shared = config.num_heads, config.num_kv_heads
    if heads and shared is not None and (shared <= 0 or heads % shared):
        yield Fault("num_kv_heads", f"{shared} does not divide {heads} heads", _SET)
    if config.head_dim is not None and config.head_dim <= 0:
        yield Fault("head_dim", f"must be positive, is {config.head_dim}", _SET)
    if (config.num_layers or 0) > MAX_LAYERS:
        what = f"{config.num_layers} is more than {MAX_LAYERS}"
        yield Fault("num_layers", what, _SET)
    yield from _experts(config)


def _experts(config: ModelConfig) -> Iterator[Fault]:
    experts, used = config.num_experts, config.num_experts_per_tok
    if experts is None:
        return
    if not 0 < experts * (config.num_layers or 1) <= MAX_EXPERTS:
        what = f"{experts} in each of {config.num_layers} layers"
        yield Fault("num_experts", what, _SET)
    if used is None:
        yield Fault("num_experts_per_tok", "not given by the file", _SET)
    elif not 0 < used <= experts:
        yield Fault("num_experts_per_tok", f"{used} of {experts} experts", _SET)


def _numbers(config: ModelConfig) -> Iterator[Fault]:
    """Find numbers that an f32, which is how programs keep them, cannot hold."""
    values = {name: getattr(config, name) for name in NUMBERS}
    if config.rope_scaling:
        scaling = asdict(config.rope_scaling).items()
        values |= {f"rope_scaling.{name}": value for name, value in scaling}
    for name, value in values.items():
        if not isinstance(value, int | float):
            continue
        if not abs(value) <= LARGEST_F32:
            yield Fault(name, f"{value} is more than a 32-bit float holds", _SET)
        elif 0 < abs(value) < SMALLEST_F32:
            yield Fault(name, f"{value} is less than a 32-bit float holds", _SET)


def _weights(model: ModelIR, family: Family) -> Iterator[Fault]:
    expected: set[str] = set()
    for weight in family.weights:
        for name in weight.names(model.config):
            expected.add(name)
            yield from _weight(model, weight, name)
    for name in model.tensors:
        if name not in expected:
            what = f"beyond the {_counted(model.config)} of the configuration"
            yield Fault(name, what, _WHOLE)


def _counted(config: ModelConfig) -> str:
    experts = f" of {config.num_experts} experts" if config.num_experts else ""
    return f"{config.num_layers} layers{experts}"


def _weight(model: ModelIR, weight: WeightSpec, name: str) -> Iterator[Fault]:
    tensor = model.tensors.get(name)
    wanted = None if weight.when is None else getattr(model.config, weight.when)
    if tensor is None:
        if not weight.optional and (weight.when is None or wanted):
            yield Fault(name, "missing", _WHOLE)
        return
    if wanted is False:
        yield Fault(name, f"there, though {weight.when} is false", _SET)
    shape = weight.expected_shape(model.config)
    if tensor.shape != shape:
        formula = ", ".join(weight.shape)
        what = f"has shape {tensor.shape}, expected {shape} = ({formula})"
        yield Fault(name, what, _WHOLE)


def _ties(model: ModelIR) -> Iterator[Fault]:
    tied = model.config.tie_embeddings
    if HEAD not in model.tensors and not tied:
        what = "missing, and the configuration says that it is not tied"
        yield Fault(HEAD, what, _WHOLE)


def _vocabulary(model: ModelIR) -> Iterator[Fault]:
    tokenizer, embedding = model.tokenizer, model.tensors.get(EMBEDDING)
    if tokenizer is None or embedding is None:
        return
    rows = embedding.shape[0]
    if tokenizer.flat:
        yield from _flat_vocabulary(tokenizer.flat, rows)
    for name, number in tokenizer.special_ids.items():
        if not 0 <= number < rows:
            what = f"id {number} is not one of {rows} rows"
            yield Fault(f"{name} token", what, _TOKENIZER)


def _odd_merge(merges: Sequence[str]) -> str | None:
    """Return the first rule that is not two tokens and a space, if any.

    That all have one space, and none at an end, is seen without looking at each.
    """
    texts = as_texts(merges)
    spaces = np.flatnonzero(texts.letters == ord(" "))
    if len(spaces) == len(texts):
        inside = (texts.starts < spaces) & (spaces < texts.ends - 1)
        if inside.all():
            return None
    return next((each for each in merges if " " not in each[1:-1]), None)


def _flat_vocabulary(flat: FlatVocabulary, rows: int) -> Iterator[Fault]:
    if len(flat.tokens) > rows:
        what = f"{len(flat.tokens)} tokens for {rows} embedding rows"
        yield Fault("tokenizer", what, _TOKENIZER)
    if flat.model not in MODELS:
        known = ", ".join(sorted(MODELS))
        what = f"{flat.model!r:.40} is no known kind of vocabulary (known: {known})"
        yield Fault("tokenizer", what, _TOKENIZER)
    odd = _odd_merge(flat.merges or ())
    if odd is not None:
        what = f"merge {odd!r:.40} is not two tokens and a space"
        yield Fault("tokenizer", what, _TOKENIZER)
