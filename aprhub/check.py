"""Whether a canonical model fits its family: weights, shapes, sizes, vocabulary."""

from collections.abc import Iterator

from aprhub.errors import Fault, ModelCheckError
from aprhub.ir.config import ModelConfig
from aprhub.ir.model import ModelIR
from aprhub.lift import EMBEDDING, HEAD, Lifted
from aprhub.spec.family import Family, WeightSpec
from aprhub.spec.format import StoredModel

SIZES = ("hidden_size", "num_layers", "num_heads", "intermediate_size", "vocab_size")
MAX_LAYERS = 1 << 12


def checked(lifted: Lifted, stored: StoredModel) -> Lifted:
    """Return what was lifted, or raise ModelCheckError with every fault of it."""
    if lifted.family is None:
        return lifted
    found = faults(lifted.model, lifted.family)
    if found:
        what = f"not a sound {lifted.family.name} model: {len(found)} fault(s)"
        raise ModelCheckError(stored.path, what, found)
    return lifted


def faults(model: ModelIR, family: Family) -> list[Fault]:
    """Return everything that does not fit; sizes first, since shapes need them."""
    wrong = list(_sizes(model.config))
    if wrong:
        return wrong
    return [*_weights(model, family), *_ties(model), *_vocabulary(model)]


def _sizes(config: ModelConfig) -> Iterator[Fault]:
    for name in SIZES:
        value = getattr(config, name)
        if value is None:
            yield Fault(name, "not given by the file (C-03)")
        elif value <= 0:
            yield Fault(name, f"must be positive, is {value} (C-03)")
    heads, shared = config.num_heads, config.num_kv_heads
    if heads and shared is not None and (shared <= 0 or heads % shared):
        yield Fault("num_kv_heads", f"{shared} does not divide {heads} heads")
    if config.head_dim is not None and config.head_dim <= 0:
        yield Fault("head_dim", f"must be positive, is {config.head_dim}")
    if (config.num_layers or 0) > MAX_LAYERS:
        yield Fault("num_layers", f"{config.num_layers} is more than {MAX_LAYERS}")


def _weights(model: ModelIR, family: Family) -> Iterator[Fault]:
    expected: set[str] = set()
    for weight in family.weights:
        for name in weight.names(model.config):
            expected.add(name)
            yield from _weight(model, weight, name)
    for name in model.tensors:
        if name not in expected:
            count = model.config.num_layers
            yield Fault(name, f"beyond the {count} layers of the configuration")


def _weight(model: ModelIR, weight: WeightSpec, name: str) -> Iterator[Fault]:
    tensor = model.tensors.get(name)
    wanted = None if weight.when is None else getattr(model.config, weight.when)
    if tensor is None:
        if not weight.optional and (weight.when is None or wanted):
            yield Fault(name, "missing")
        return
    if wanted is False:
        yield Fault(name, f"there, though {weight.when} is false")
    shape = weight.expected_shape(model.config)
    if tensor.shape != shape:
        formula = ", ".join(weight.shape)
        yield Fault(name, f"has shape {tensor.shape}, expected {shape} = ({formula})")


def _ties(model: ModelIR) -> Iterator[Fault]:
    tied = model.config.tie_embeddings
    if HEAD not in model.tensors and not tied:
        yield Fault(HEAD, "missing, and the configuration says that it is not tied")


def _vocabulary(model: ModelIR) -> Iterator[Fault]:
    flat = model.tokenizer.flat if model.tokenizer else None
    rows = model.tensors[EMBEDDING].shape[0] if EMBEDDING in model.tensors else None
    if flat is not None and rows is not None and len(flat.tokens) > rows:
        yield Fault("tokenizer", f"{len(flat.tokens)} tokens for {rows} embedding rows")
