"""The constants of APR v2: header fields, flags, type ids, metadata keys, limits."""

from collections.abc import Mapping
from enum import IntFlag
from typing import Final

MAGIC: Final = b"APR\0"

LOOKALIKES: Final[Mapping[bytes, str]] = {
    b"APRN": "an APR v1 (APRN) container",
    b"APR1": "an APR v1 container (APR1, with its index inline)",
    b"APR2": "a container from before APR v2 was settled (APR2)",
}
"""First bytes of files that are called APR and are not APR v2."""

VERSION_MAJOR: Final = 2
VERSION_MINOR: Final = 0

HEADER_FIELDS: Final[Mapping[str, str]] = {
    "magic": "4s",
    "version major": "B",
    "version minor": "B",
    "flags": "H",
    "tensor_count": "I",
    "metadata_offset": "Q",
    "metadata_size": "I",
    "tensor_index_offset": "Q",
    "data_offset": "Q",
    "checksum": "I",
    "reserved": "20s",
}
"""Fields in the order of the file, without gaps, and their `struct` codes."""

HEADER_BYTES: Final = 64
ALIGNMENT: Final = 64
FOOTER_BYTES: Final = 4
SMALLEST_ENTRY: Final = 20

MIB: Final = 1 << 20
METADATA_WRITTEN: Final = 16 * MIB
HEAD_READ: Final = 256 * MIB
NAME_BYTES: Final = 256
MOST_DIMENSIONS: Final = 8
MOST_ELEMENTS: Final = 1 << 48


class Flag(IntFlag):
    """The bits of the header's flags that mean something."""

    LZ4_COMPRESSED = 0x0001
    ZSTD_COMPRESSED = 0x0002
    ENCRYPTED = 0x0004
    SIGNED = 0x0008
    SHARDED = 0x0010
    QUANTIZED = 0x0020
    HAS_FILTERBANK = 0x0040
    HAS_MODEL_CARD = 0x0080
    STREAMING = 0x0100
    HAS_VOCAB = 0x0200
    LAYOUT_ROW_MAJOR = 0x0400
    LAYOUT_COLUMN_MAJOR = 0x0800


COMPRESSED: Final = Flag.LZ4_COMPRESSED | Flag.ZSTD_COMPRESSED

TYPE_MEANINGS: Final[Mapping[int, tuple[str, ...]]] = {
    0: ("f32",),
    1: ("f16",),
    2: ("q4_0",),
    3: ("f64", "q4_1"),
    4: ("i32",),
    5: ("i64",),
    6: ("i8", "q5_0"),
    7: ("u8", "q5_1"),
    8: ("apr_q4", "q8_0"),
    9: ("apr_q8", "q8_1"),
    10: ("q2_k",),
    11: ("q3_k",),
    12: ("q4_k",),
    13: ("q5_k",),
    14: ("q6_k",),
    15: ("q8_k",),
    16: ("iq2_xxs",),
    17: ("iq2_xs",),
    30: ("bf16",),
    128: ("apr_q4",),
    129: ("apr_q8",),
}
"""Encodings by type id. Some writers store ggml's ids instead of APR's own: where both
have a meaning, APR's stands first and the payload's size decides."""

TYPE_IDS: Final[Mapping[str, int]] = {
    "f32": 0,
    "f16": 1,
    "bf16": 30,
    "i32": 4,
    "i64": 5,
    "i8": 6,
    "u8": 7,
    "q4_k": 12,
    "q6_k": 14,
    "apr_q4": 128,
    "apr_q8": 129,
}
"""The type ids that are written, by encoding."""

RUNNABLE_TYPES: Final = frozenset(
    {"f32", "f16", "bf16", "q4_k", "q6_k", "apr_q4", "apr_q8"}
)
"""The encodings that programs which run APR files read as what they are."""

OWN_TYPES: Final = frozenset({*TYPE_IDS, "f64"})
"""The encodings that have an id of APR's own."""

TYPED_KEYS: Final = (
    "model_type",
    "name",
    "description",
    "author",
    "license",
    "data_source",
    "data_license",
    "version",
    "source",
    "original_format",
    "created_at",
    "total_size",
    "param_count",
    "quantization",
    "sharding",
    "chat_template",
    "chat_format",
    "special_tokens",
    "architecture",
    "hf_architecture",
    "hf_model_type",
    "hidden_size",
    "num_layers",
    "num_heads",
    "num_kv_heads",
    "vocab_size",
    "intermediate_size",
    "max_position_embeddings",
    "rope_theta",
    "rope_type",
    "rms_norm_eps",
    "head_dim",
    "num_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
)
"""The keys that have a type, in the order in which they are written."""

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "hidden_size": ("hidden_dim", "d_model", "n_embd"),
    "num_layers": ("num_hidden_layers", "n_layers", "n_layer"),
    "num_heads": ("num_attention_heads", "n_heads", "n_head"),
    "num_kv_heads": ("num_key_value_heads", "n_kv_heads"),
    "vocab_size": ("n_vocab",),
    "intermediate_size": ("ffn_dim", "intermediate_dim", "n_inner"),
    "max_position_embeddings": ("max_seq_len", "context_length", "n_ctx"),
    "rms_norm_eps": ("layer_norm_eps", "norm_eps"),
}
"""Other spellings of typed keys, which must never be written."""

NEVER_NULL: Final = frozenset({"model_type", "total_size", "param_count"})

WRITTEN_NULLS: Final = ("license", "data_source", "data_license")
"""The keys that are written as an explicit null where nobody knows the value."""

BULKY_KEYS: Final = frozenset(
    {
        "tokenizer.vocabulary",
        "tokenizer.merges",
        "tokenizer.scores",
        "tokenizer.token_type",
        "aprhub.merges",
    }
)
"""The keys with an item for each token, checked where they are turned into arrays."""
