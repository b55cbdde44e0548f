"""What the reference system needs to serve an APR v2 file, as findings."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from attrs import frozen

from tests.judges import apr_metadata
from tests.judges.apr_container import (
    APR_Q4,
    APR_Q8,
    BF16,
    F16,
    F32,
    Q4_K,
    Q6_K,
    Container,
    Entry,
)

_T = TypeVar("_T")

_LOADABLE: Final = {F32, F16, BF16, Q4_K, Q6_K, APR_Q4, APR_Q8}

# Field to (smallest, largest); the four first ones must be there.
_REQUIRED: Final = ("hidden_size", "num_layers", "num_heads", "intermediate_size")
_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "hidden_size": (1, 65_536),
    "num_layers": (1, 256),
    "num_heads": (1, 256),
    "num_kv_heads": (1, 256),
    "vocab_size": (1, 1_000_000),
    "intermediate_size": (1, 262_144),
    "max_position_embeddings": (0, 2_097_152),
    "rope_theta": (1, 1e8),
    "rms_norm_eps": (1e-10, 0.01),
}
_MAY_BE_ZERO: Final = ("rope_theta", "rms_norm_eps")

_WHOLE: Final[Mapping[str, tuple[str, str]]] = {
    "embedding": ("model.embed_tokens.weight", "token_embd.weight"),
    "final norm": ("model.norm.weight", "output_norm.weight"),
    "head": ("lm_head.weight", "output.weight"),
}
_PER_LAYER: Final[Mapping[str, tuple[str, str]]] = {
    "attention norm": ("input_layernorm", "attn_norm"),
    "q": ("self_attn.q_proj", "attn_q"),
    "k": ("self_attn.k_proj", "attn_k"),
    "v": ("self_attn.v_proj", "attn_v"),
    "o": ("self_attn.o_proj", "attn_output"),
    "ffn norm": ("post_attention_layernorm", "ffn_norm"),
    "gate": ("mlp.gate_proj", "ffn_gate"),
    "up": ("mlp.up_proj", "ffn_up"),
    "down": ("mlp.down_proj", "ffn_down"),
}
_BIASES: Final = ("q", "k", "v")
_HEAD_NORMS: Final[Mapping[str, tuple[str, str]]] = {
    "q norm": ("self_attn.q_norm", "attn_q_norm"),
    "k norm": ("self_attn.k_norm", "attn_k_norm"),
}
_WITH_HEAD_NORMS: Final = ("qwen3", "qwen3_moe")
_WITH_BIASES: Final = ("qwen2", "qwen2.5", "qwen", "phi", "phi3")


@frozen
class _Sizes:
    """The dimensions that the shapes of the tensors are made of."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    head_dim: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every role, outermost dimension first."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "embedding": (self.vocabulary, self.hidden),
            "head": (self.vocabulary, self.hidden),
            "final norm": (self.hidden,),
            "attention norm": (self.hidden,),
            "ffn norm": (self.hidden,),
            "q": (q, self.hidden),
            "k": (kv, self.hidden),
            "v": (kv, self.hidden),
            "o": (self.hidden, q),
            "gate": (self.intermediate, self.hidden),
            "up": (self.intermediate, self.hidden),
            "down": (self.hidden, self.intermediate),
            "q bias": (q,),
            "k bias": (kv,),
            "v bias": (kv,),
            "q norm": (self.head_dim,),
            "k norm": (self.head_dim,),
        }


def named(tensors: Mapping[str, _T], role: str) -> _T | None:
    """Return what stands under the first known name of a role of the whole model."""
    found = (tensors[name] for name in _WHOLE[role] if name in tensors)
    return next(found, None)


def findings(container: Container) -> Iterator[str]:
    """Name everything that keeps the file from being loaded and computed right."""
    metadata_faults = [
        *apr_metadata.poison(container),
        *apr_metadata.type_faults(container.metadata, nulls=True),
        *_dimension_faults(container.metadata),
    ]
    yield from metadata_faults
    yield from _architecture_faults(container.metadata)
    yield from _tokenizer_faults(container.metadata)
    yield from _dtype_faults(container.entries)
    if not metadata_faults:
        yield from _tensor_faults(container)


def _architecture_faults(metadata: Mapping[str, Any]) -> Iterator[str]:
    architecture = metadata.get("architecture")
    if not architecture or not isinstance(architecture, str):
        yield "C-01: no architecture"
    elif architecture != architecture.lower():
        yield f"C-01: {architecture} is a class name and would run as a llama"


def _dimension_faults(metadata: Mapping[str, Any]) -> Iterator[str]:
    fields = {field: apr_metadata.value(metadata, field) for field in _BOUNDS}
    for field in _REQUIRED:
        if fields[field] is None:
            yield f"C-03: no {field}"
    for field, (low, high) in _BOUNDS.items():
        found = fields[field]
        zero = found == 0 and field in _MAY_BE_ZERO
        if isinstance(found, int | float) and not (zero or low <= found <= high):
            yield f"C-03: {field} is {found}, {low} to {high} allowed"
    yield from _divisibility_faults(fields)


def _divisibility_faults(fields: Mapping[str, Any]) -> Iterator[str]:
    hidden, heads = fields["hidden_size"], fields["num_heads"]
    kv_heads = fields["num_kv_heads"] or heads
    for what, whole, part in (
        ("hidden_size by num_heads", hidden, heads),
        ("num_heads by num_kv_heads", heads, kv_heads),
    ):
        if isinstance(whole, int) and isinstance(part, int) and part and whole % part:
            yield f"C-03: {whole} % {part}: cannot divide {what}"


def _tokenizer_faults(metadata: Mapping[str, Any]) -> Iterator[str]:
    vocabulary = metadata.get("tokenizer.vocabulary")
    merges = metadata.get("tokenizer.merges")
    scores = metadata.get("tokenizer.scores")
    if not vocabulary:
        yield "tokenizer: no vocabulary"
    elif not merges and not scores:
        yield "tokenizer: neither merges nor scores"
    elif not merges and (
        len(scores or ()) != len(vocabulary) or "<unk>" not in vocabulary
    ):
        yield "tokenizer: scores without <unk> or not parallel to the vocabulary"


def _dtype_faults(entries: tuple[Entry, ...]) -> Iterator[str]:
    for entry in entries:
        if entry.dtype not in _LOADABLE:
            yield f"{entry.name}: dtype id {entry.dtype} is read as another one"
        elif len(entry.shape) == 1 and entry.dtype != F32:
            yield f"{entry.name}: a vector of dtype id {entry.dtype}, F32 is read"


def _tensor_faults(container: Container) -> Iterator[str]:
    shapes = {entry.name: entry.shape for entry in container.entries}
    sizes = _sizes(container.metadata, shapes)
    if sizes is None:
        yield "missing: embedding or q of the first layer"
        return
    expected = sizes.shapes()
    architecture = container.metadata.get("architecture", "")
    for role, names in _roles(sizes.layers):
        found = next((shapes[name] for name in names if name in shapes), None)
        if found is None and not _is_optional(role, architecture):
            yield f"missing: {role}, known as {' or '.join(names)}"
        elif found is not None and found != expected[role]:
            yield f"{role}: shape {found}, {expected[role]} expected as in {names[0]}"


def _is_optional(role: str, architecture: str) -> bool:
    if role.endswith("bias"):
        return architecture not in _WITH_BIASES
    if role in _HEAD_NORMS:
        return architecture not in _WITH_HEAD_NORMS
    return False


def _sizes(
    metadata: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> _Sizes | None:
    embedding = named(shapes, "embedding")
    hf, ggml = _PER_LAYER["q"]
    q = shapes.get(f"model.layers.0.{hf}.weight") or shapes.get(f"blk.0.{ggml}.weight")
    if not embedding or not q:
        return None
    get = apr_metadata.value
    heads = get(metadata, "num_heads")
    return _Sizes(
        hidden=get(metadata, "hidden_size"),
        layers=get(metadata, "num_layers"),
        heads=heads,
        kv_heads=get(metadata, "num_kv_heads") or heads,
        intermediate=get(metadata, "intermediate_size"),
        vocabulary=get(metadata, "vocab_size") or embedding[0],
        head_dim=metadata.get("head_dim") or q[0] // heads,
    )


def _roles(layers: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield every role of a model with the names that it may have."""
    yield from _WHOLE.items()
    for layer in range(layers):
        for role, names in (*_PER_LAYER.items(), *_HEAD_NORMS.items()):
            yield role, _spelled(layer, names, "weight")
        for role in _BIASES:
            yield f"{role} bias", _spelled(layer, _PER_LAYER[role], "bias")


def _spelled(layer: int, names: tuple[str, str], suffix: str) -> tuple[str, str]:
    hf, ggml = names
    return f"model.layers.{layer}.{hf}.{suffix}", f"blk.{layer}.{ggml}.{suffix}"
