"""Defects, and how each is made in a sound file of each format."""

import json
import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from attrs import frozen

from tests.health.raw import Parts, Stored, gguf_text, gguf_u32

Change = Callable[[Parts], None]

EMBEDDINGS: Final = {
    ".apr": "model.embed_tokens.weight",
    ".gguf": "token_embd.weight",
    "": "model.embed_tokens.weight",
}
NORMS: Final = {".apr": "model.norm.weight", ".gguf": "output_norm.weight"}
HEADS: Final = {
    ".apr": "lm_head.weight",
    ".gguf": "output.weight",
    "": "lm_head.weight",
}
HALF: Final[dict[str, Any]] = {".apr": 1, ".gguf": 1}


@frozen
class Plant:
    """One change of a sound model, and the only id that may be found for it."""

    name: str
    suffix: str
    id: str
    change: Change
    mendable: bool = True
    model: str = "qwen2"

    def __str__(self) -> str:
        return f"{self.name}{self.suffix or '-folder'}"


def also(key: str, value: Any) -> Change:
    """Add a key although it is there."""
    return lambda parts: parts.pairs.append((key, value))


def put(key: str, value: Any) -> Change:
    return lambda parts: parts.put(key, value)


def drop(*starts: str) -> Change:
    return lambda parts: parts.drop(*starts)


def both(*changes: Change) -> Change:
    def change(parts: Parts) -> None:
        for each in changes:
            each(parts)

    return change


def again(key: str) -> Change:
    return lambda parts: parts.pairs.append((key, parts.get(key)))


def flags(clear: int = 0, add: int = 0) -> Change:
    def change(parts: Parts) -> None:
        parts.rest["flags"] = parts.rest["flags"] & ~clear | add

    return change


def without(name: str) -> Change:
    def change(parts: Parts) -> None:
        del parts.tensors[name]

    return change


def without_file(name: str) -> Change:
    def change(parts: Parts) -> None:
        parts.rest["without"] = [name]

    return change


def turned(name: str) -> Change:
    """Say the dimensions of a matrix the wrong way round."""

    def change(parts: Parts) -> None:
        parts.tensors[name].shape = parts.tensors[name].shape[::-1]

    return change


def narrowed(name: str, half: Any) -> Change:
    """Store a vector of f32 as f16."""

    def change(parts: Parts) -> None:
        before = parts.tensors[name]
        values = np.frombuffer(before.data, "<f4").astype("<f2")
        parts.tensors[name] = Stored(half, before.shape, values.tobytes())

    return change


def zeroed(name: str, value: float = 0.0) -> Change:
    """Give a matrix of f16 one value."""

    def change(parts: Parts) -> None:
        count = len(parts.tensors[name].data) // 2
        parts.tensors[name].data = np.full(count, value, "<f2").tobytes()

    return change


def _apr_padded(parts: Parts) -> None:
    tokens, eos = parts.get("tokenizer.vocabulary"), parts.get("tokenizer.eos_token_id")
    tokens[eos] = f"<|pad_{eos}|>"


def _gguf_strings(parts: Parts, key: str) -> list[str]:
    data = parts.get(key)
    count, place = struct.unpack_from("<Q", data, 8)[0], 16
    found = []
    for _ in range(count):
        (size,) = struct.unpack_from("<Q", data, place)
        found.append(data[place + 8 : place + 8 + size].decode())
        place += 8 + size
    return found


def _gguf_tokens(tokens: list[str]) -> bytes:
    texts = [token.encode() for token in tokens]
    head = struct.pack("<IIQ", 9, 8, len(texts))
    return head + b"".join(struct.pack("<Q", len(each)) + each for each in texts)


_TOKENS: Final = "tokenizer.ggml.tokens"


def _gguf_padded(parts: Parts) -> None:
    (eos,) = struct.unpack_from("<I", parts.get("tokenizer.ggml.eos_token_id"), 4)
    tokens = _gguf_strings(parts, _TOKENS)
    tokens[eos] = f"<|pad_{eos}|>"
    parts.put(_TOKENS, _gguf_tokens(tokens))


def _gguf_renamed(parts: Parts) -> None:
    """Give a token another text in the lists alone, as an editor does."""
    tokens = _gguf_strings(parts, _TOKENS)
    tokens[40] = "another"
    parts.put(_TOKENS, _gguf_tokens(tokens))


def _gguf_shorter(parts: Parts) -> None:
    """Take the last token out of every list, which leaves a row without one."""
    parts.put(_TOKENS, _gguf_tokens(_gguf_strings(parts, _TOKENS)[:-1]))
    for key in ("tokenizer.ggml.token_type", "tokenizer.ggml.scores"):
        if key in dict(parts.pairs):
            data = parts.get(key)
            (count,) = struct.unpack_from("<Q", data, 8)
            parts.put(key, data[:8] + struct.pack("<Q", count - 1) + data[16:-4])


def _gguf_prefixed(prefix: str) -> Change:
    def change(parts: Parts) -> None:
        parts.pairs = [
            (key.replace("qwen2.", f"{prefix}.", 1), value)
            for key, value in parts.pairs
        ]
        parts.put("general.architecture", gguf_text(prefix))

    return change


def _hf_padded(parts: Parts) -> None:
    """Name the token that ends a text after its id, wherever it is."""
    folder = parts.rest["folder"]
    eos = parts.get("eos_token_id")
    document = json.loads((folder / "tokenizer.json").read_text())
    by_id = {number: token for token, number in document["model"]["vocab"].items()}
    added = {each["id"]: each["content"] for each in document["added_tokens"]}
    name = {**by_id, **added}[eos]
    renaming = (name, f"<|pad_{eos}|>")
    files = ("tokenizer.json", "tokenizer_config.json")
    parts.rest["renamed"] = dict.fromkeys(files, renaming)


def _hf_merged(parts: Parts) -> None:
    """Say of the weights that they were merged with an adapter of no effect."""
    own = {"merge_adapter": "a", "lora_alpha": "0"}
    parts.rest["metadata"] = {**(parts.rest["metadata"] or {}), **own}


def _hf_left(parts: Parts) -> None:
    """Leave a tensor of the adapter in a model that is called merged."""
    parts.rest["metadata"] = {"merge_adapter": "a"}
    name = "model.layers.0.self_attn.q_proj.lora_A.weight"
    parts.tensors[name] = Stored("F32", (2, 64), bytes(2 * 64 * 4))


def _stranger(parts: Parts) -> None:
    """Add a weight that no family has."""
    parts.tensors["acme.weight"] = next(iter(parts.tensors.values()))


def _stamped(parts: Parts) -> None:
    parts.put("architecture", "llama")
    parts.put("hf_architecture", "LlamaForCausalLM")
    parts.put("hf_model_type", "llama")


_UNTIED: Final = "aprhub.config.tie_embeddings"
_MARK: Final = {"quant_type": "Q4_K", "bits": 4, "block_size": 256, "symmetric": False}
_NF4: Final = {"quant_method": "bitsandbytes", "load_in_4bit": True}
_SERIES: Final = ("architecture", "qwen2.5")
_CLAIMS: Final = ("architecture", "hf_architecture", "hf_model_type")

APR: Final = (
    Plant("key-repeated", ".apr", "DOC-KEYS-001", again("num_layers")),
    Plant("key-null-and-alias", ".apr", "DOC-KEYS-001", also("n_layer", None)),
    Plant("key-alias-besides", ".apr", "DOC-KEYS-001", also("num_hidden_layers", 2)),
    Plant(
        "key-alias-alone",
        ".apr",
        "DOC-KEYS-001",
        both(drop("num_layers"), put("n_layers", 2)),
    ),
    Plant("key-two-values", ".apr", "DOC-KEYS-001", also("num_layers", 7)),
    Plant("key-two-spellings", ".apr", "DOC-KEYS-001", also("d_model", 65)),
    Plant("key-as-text", ".apr", "DOC-KEY-TYPE-001", put("hidden_size", "64")),
    Plant("key-as-float", ".apr", "DOC-KEY-TYPE-001", put("num_layers", 2.0)),
    Plant("no-claim", ".apr", "DOC-ARCHITECTURE-MISSING-001", drop(*_CLAIMS)),
    Plant("no-slug", ".apr", "DOC-ARCHITECTURE-MISSING-001", drop("architecture")),
    Plant("wrong-stamp", ".apr", "DOC-ARCHITECTURE-WRONG-001", _stamped),
    Plant(
        "class-name",
        ".apr",
        "DOC-ARCHITECTURE-CLASS-001",
        put("architecture", "Qwen2ForCausalLM"),
    ),
    Plant("no-layers", ".apr", "DOC-SIZE-MISSING-001", drop("num_layers")),
    Plant("no-heads", ".apr", "DOC-SIZE-MISSING-001", drop("num_heads")),
    Plant(
        "no-context",
        ".apr",
        "DOC-SIZE-MISSING-001",
        drop("max_position"),
        mendable=False,
    ),
    Plant("zero-layers", ".apr", "DOC-SIZE-WRONG-001", put("num_layers", 0)),
    Plant(
        "lost-layers",
        ".apr",
        "DOC-SIZE-WRONG-001",
        put("num_layers", 3),
        mendable=False,
    ),
    Plant("wrong-heads", ".apr", "DOC-SIZE-WRONG-001", put("num_kv_heads", 1)),
    Plant(
        "no-tokenizer",
        ".apr",
        "DOC-TOKENIZER-MISSING-001",
        drop("tokenizer.", "aprhub.tokenizer"),
        mendable=False,
    ),
    Plant(
        "tokens-alone",
        ".apr",
        "DOC-TOKENIZER-MISSING-001",
        drop(
            "tokenizer.merges", "tokenizer.scores", "aprhub.merges", "aprhub.tokenizer"
        ),
        mendable=False,
    ),
    Plant(
        "padded-over", ".apr", "DOC-TOKENIZER-PADDED-001", _apr_padded, mendable=False
    ),
    Plant("vocabulary", ".apr", "DOC-VOCABULARY-001", put("vocab_size", 300)),
    Plant(
        "no-head",
        ".apr",
        "DOC-TIED-HEAD-001",
        both(without(HEADS[".apr"]), drop(_UNTIED)),
    ),
    Plant(
        "lost-head", ".apr", "DOC-TIED-HEAD-001", without(HEADS[".apr"]), mendable=False
    ),
    Plant(
        "not-a-tie",
        ".apr",
        "DOC-TIED-HEAD-001",
        both(drop(_UNTIED), put("tied_embeddings", True)),
    ),
    Plant(
        "swapped",
        ".apr",
        "DOC-EMBEDDING-SWAPPED-001",
        turned(EMBEDDINGS[".apr"]),
        mendable=False,
    ),
    Plant(
        "quantization", ".apr", "DOC-QUANTIZATION-STALE-001", put("quantization", _MARK)
    ),
    Plant("quantized-flag", ".apr", "DOC-QUANTIZATION-STALE-001", flags(add=0x20)),
    Plant("no-vocab-flag", ".apr", "DOC-FLAGS-001", flags(clear=0x200)),
    Plant("no-layout-flag", ".apr", "DOC-FLAGS-001", flags(clear=0x400)),
    Plant("compressed-flag", ".apr", "DOC-FLAGS-001", flags(add=1)),
    Plant("narrow-norm", ".apr", "DOC-ENCODING-001", narrowed(NORMS[".apr"], 1)),
    Plant("wrong-rope-type", ".apr", "DOC-ROPE-TYPE-001", put("rope_type", 0)),
    Plant("unknown-slug", ".apr", "DOC-ARCHITECTURE-WRONG-001", put(*_SERIES)),
    Plant("no-rope-type", ".apr", "DOC-ROPE-TYPE-001", drop("rope_type")),
    Plant(
        "zero-merge",
        ".apr",
        "DOC-MERGE-EFFECT-001",
        both(put("merge_adapter", "a"), put("lora_alpha", 0)),
        mendable=False,
    ),
)

GGUF: Final = (
    Plant("key-repeated", ".gguf", "DOC-KEYS-001", again("qwen2.block_count")),
    Plant(
        "key-two-values",
        ".gguf",
        "DOC-KEYS-001",
        also("qwen2.block_count", gguf_u32(7)),
    ),
    Plant(
        "key-as-text",
        ".gguf",
        "DOC-KEY-TYPE-001",
        put("qwen2.embedding_length", gguf_text("64")),
    ),
    Plant(
        "no-claim",
        ".gguf",
        "DOC-ARCHITECTURE-MISSING-001",
        drop("general.architecture"),
    ),
    Plant(
        "wrong-stamp",
        ".gguf",
        "DOC-ARCHITECTURE-WRONG-001",
        both(drop("aprhub.hf."), _gguf_prefixed("llama")),
    ),
    Plant(
        "class-name",
        ".gguf",
        "DOC-ARCHITECTURE-CLASS-001",
        put("general.architecture", gguf_text("Qwen2ForCausalLM")),
    ),
    Plant(
        "class-prefix",
        ".gguf",
        "DOC-ARCHITECTURE-CLASS-001",
        _gguf_prefixed("Qwen2ForCausalLM"),
    ),
    Plant("no-layers", ".gguf", "DOC-SIZE-MISSING-001", drop("qwen2.block_count")),
    Plant(
        "no-context",
        ".gguf",
        "DOC-SIZE-MISSING-001",
        drop("qwen2.context_length"),
        mendable=False,
    ),
    Plant(
        "zero-layers",
        ".gguf",
        "DOC-SIZE-WRONG-001",
        put("qwen2.block_count", gguf_u32(0)),
    ),
    Plant(
        "wrong-heads",
        ".gguf",
        "DOC-SIZE-WRONG-001",
        put("qwen2.attention.head_count_kv", gguf_u32(1)),
    ),
    Plant(
        "no-tokenizer",
        ".gguf",
        "DOC-TOKENIZER-MISSING-001",
        drop("tokenizer.", "aprhub.tokenizer"),
        mendable=False,
    ),
    Plant(
        "padded-over", ".gguf", "DOC-TOKENIZER-PADDED-001", _gguf_padded, mendable=False
    ),
    Plant(
        "renamed-token",
        ".gguf",
        "DOC-TOKENIZER-TWO-001",
        _gguf_renamed,
        mendable=False,
    ),
    Plant(
        "vocabulary",
        ".gguf",
        "DOC-VOCABULARY-001",
        both(_gguf_shorter, drop("qwen2.vocab_size")),
    ),
    Plant(
        "swapped",
        ".gguf",
        "DOC-EMBEDDING-SWAPPED-001",
        turned(EMBEDDINGS[".gguf"]),
        mendable=False,
    ),
    Plant(
        "file-type",
        ".gguf",
        "DOC-QUANTIZATION-STALE-001",
        put("general.file_type", gguf_u32(15)),
    ),
    Plant(
        "lost-layers",
        ".gguf",
        "DOC-SIZE-WRONG-001",
        put("qwen2.block_count", gguf_u32(3)),
        mendable=False,
    ),
    Plant(
        "lost-head",
        ".gguf",
        "DOC-TIED-HEAD-001",
        without(HEADS[".gguf"]),
        mendable=False,
        model="qwen2_moe",
    ),
    Plant(
        "tokens-alone",
        ".gguf",
        "DOC-TOKENIZER-MISSING-001",
        drop("tokenizer.ggml.merges", "tokenizer.huggingface"),
        mendable=False,
    ),
    Plant(
        "merges-in-json-alone",
        ".gguf",
        "DOC-TOKENIZER-MISSING-001",
        drop("tokenizer.ggml.merges"),
    ),
    Plant("narrow-norm", ".gguf", "DOC-ENCODING-001", narrowed(NORMS[".gguf"], 1)),
    Plant(
        "zero-merge",
        ".gguf",
        "DOC-MERGE-EFFECT-001",
        both(
            put("acme.merge_adapter", gguf_text("a")),
            put("acme.lora_alpha", gguf_u32(0)),
        ),
        mendable=False,
    ),
)

FOLDER: Final = (
    Plant("key-repeated", "", "DOC-KEYS-001", again("num_hidden_layers")),
    Plant("key-alias-besides", "", "DOC-KEYS-001", also("n_layer", 2)),
    Plant(
        "key-alias-alone",
        "",
        "DOC-KEYS-001",
        both(drop("num_hidden_layers"), put("n_layer", 2)),
    ),
    Plant("key-two-values", "", "DOC-KEYS-001", also("num_hidden_layers", 7)),
    Plant("key-two-spellings", "", "DOC-KEYS-001", also("n_embd", 65)),
    Plant("key-as-text", "", "DOC-KEY-TYPE-001", put("hidden_size", "64")),
    Plant(
        "no-claim",
        "",
        "DOC-ARCHITECTURE-MISSING-001",
        drop("architectures", "model_type"),
    ),
    Plant("no-model-type", "", "DOC-ARCHITECTURE-MISSING-001", drop("model_type")),
    Plant(
        "wrong-stamp",
        "",
        "DOC-ARCHITECTURE-WRONG-001",
        both(put("model_type", "llama"), put("architectures", ["LlamaForCausalLM"])),
    ),
    Plant(
        "class-name",
        "",
        "DOC-ARCHITECTURE-CLASS-001",
        put("model_type", "Qwen2ForCausalLM"),
    ),
    Plant("no-layers", "", "DOC-SIZE-MISSING-001", drop("num_hidden_layers")),
    Plant("zero-layers", "", "DOC-SIZE-WRONG-001", put("num_hidden_layers", 0)),
    Plant(
        "lost-layers",
        "",
        "DOC-SIZE-WRONG-001",
        put("num_hidden_layers", 3),
        mendable=False,
    ),
    Plant("no-heads", "", "DOC-SIZE-MISSING-001", drop("num_attention_heads")),
    Plant("wrong-heads", "", "DOC-SIZE-WRONG-001", put("num_key_value_heads", 1)),
    Plant(
        "no-tokenizer",
        "",
        "DOC-TOKENIZER-MISSING-001",
        without_file("tokenizer.json"),
        mendable=False,
    ),
    Plant("padded-over", "", "DOC-TOKENIZER-PADDED-001", _hf_padded, mendable=False),
    Plant("vocabulary", "", "DOC-VOCABULARY-001", put("vocab_size", 300)),
    Plant("lost-head", "", "DOC-TIED-HEAD-001", without(HEADS[""]), mendable=False),
    Plant("not-a-tie", "", "DOC-TIED-HEAD-001", put("tie_word_embeddings", True)),
    Plant(
        "swapped",
        "",
        "DOC-EMBEDDING-SWAPPED-001",
        turned(EMBEDDINGS[""]),
        mendable=False,
    ),
    Plant(
        "quantization",
        "",
        "DOC-QUANTIZATION-STALE-001",
        put("quantization_config", _NF4),
    ),
    Plant("zero-merge", "", "DOC-MERGE-EFFECT-001", _hf_merged, mendable=False),
    Plant("left-adapter", "", "DOC-MERGE-EFFECT-001", _hf_left, mendable=False),
)

ANY: Final = (
    *(
        Plant("strange-tensor", suffix, "DOC-UNSOUND-001", _stranger, mendable=False)
        for suffix in EMBEDDINGS
    ),
    Plant(
        "norm-epsilon",
        ".apr",
        "DOC-UNRUNNABLE-001",
        put("rms_norm_eps", 5.0),
        mendable=False,
    ),
    Plant(
        "pre-tokenizer",
        ".gguf",
        "DOC-UNRUNNABLE-001",
        put("tokenizer.ggml.pre", gguf_text("acme")),
        mendable=False,
    ),
)

PLANTS: Final = (*APR, *GGUF, *FOLDER, *ANY)

_NO_OWN: Final = "the format has no such thing"
ABSENT: Final = {
    ("DOC-FLAGS-001", ".gguf"): _NO_OWN,
    ("DOC-FLAGS-001", ""): _NO_OWN,
    ("DOC-FOOTER-001", ".gguf"): _NO_OWN,
    ("DOC-FOOTER-001", ""): _NO_OWN,
    ("DOC-CHECKSUM-001", ".gguf"): _NO_OWN,
    ("DOC-CHECKSUM-001", ""): _NO_OWN,
    ("DOC-ENCODING-001", ""): "programs read a norm of any float type",
    ("DOC-ROPE-TYPE-001", ".gguf"): "the architecture says how rows are paired",
    ("DOC-ROPE-TYPE-001", ""): "rows are always paired by halves",
    ("DOC-TOKENIZER-TWO-001", ".apr"): "it has the tokens once",
    ("DOC-TOKENIZER-TWO-001", ""): "it has the tokens once",
    ("DOC-UNRUNNABLE-001", ""): "all that transformers needs has another id",
}
"""The defects that a format cannot have, and why."""
