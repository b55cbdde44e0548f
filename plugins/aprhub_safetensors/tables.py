"""The names, types and limits of the safetensors format and of a model folder."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aprhub.api import ENCODINGS, Encoding, Tensor

SUFFIX: Final = ".safetensors"
INDEX: Final = "model.safetensors.index.json"
CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer.json"
PIECES: Final = "tokenizer.model"
VOCABULARY: Final = "vocab.json"
MERGES: Final = "merges.txt"
GENERATION: Final = "generation_config.json"
TOKENIZER_CONFIG: Final = "tokenizer_config.json"
SPECIAL_TOKENS: Final = "special_tokens_map.json"
CHAT_TEMPLATE: Final = "chat_template.jinja"
CARD: Final = "README.md"
RECORD: Final = "aprhub.json"
"""What aprhub knows of a model and no other file of the folder has room for."""

METADATA: Final = "__metadata__"
EMBEDDED: Final = "aprhub."
"""Prefix of the metadata keys under which a single file holds the folder's texts."""

MAX_HEADER: Final = 100_000_000
"""The limit of the safetensors package."""

MAX_TENSORS: Final = 1 << 20

_MIB: Final = 1 << 20

TEXTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        CONFIG: 16 * _MIB,
        GENERATION: 1 * _MIB,
        TOKENIZER_CONFIG: 64 * _MIB,
        SPECIAL_TOKENS: 16 * _MIB,
        CHAT_TEMPLATE: 16 * _MIB,
        "chat_template.json": 16 * _MIB,
        "added_tokens.json": 64 * _MIB,
        VOCABULARY: 64 * _MIB,
        "vocab.txt": 64 * _MIB,
        MERGES: 64 * _MIB,
    }
)
"""The files whose texts travel with a model, and the most bytes each may have."""

LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        **TEXTS,
        TOKENIZER: 256 * _MIB,
        RECORD: 256 * _MIB,
        INDEX: 64 * _MIB,
        PIECES: 64 * _MIB,
    }
)
"""The most bytes of every file beside the weights that a model needs."""

MOST_CARD: Final = 16 * _MIB
"""The most bytes of a model card that is read."""

COMPANIONS: Final = (
    "*" + SUFFIX,
    "*" + SUFFIX + ".index.json",
    *LIMITS,
)
"""Which files of a folder belong to the model in it and are replaced with it."""

DTYPES: Final[Mapping[str, Encoding]] = MappingProxyType(
    {
        dtype: ENCODINGS[name]
        for dtype, name in {
            "F64": "f64",
            "F32": "f32",
            "F16": "f16",
            "BF16": "bf16",
            "F8_E4M3": "f8_e4m3",
            "F8_E5M2": "f8_e5m2",
            "F8_E8M0": "f8_e8m0",
            "I64": "i64",
            "I32": "i32",
            "I16": "i16",
            "I8": "i8",
            "U64": "u64",
            "U32": "u32",
            "U16": "u16",
            "U8": "u8",
            "BOOL": "bool",
        }.items()
    }
)
"""What the header calls each encoding."""

NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {encoding.name: dtype for dtype, encoding in DTYPES.items()}
)

TORCH_DTYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16"}
)
"""What `config.json` calls the encodings that a model can be computed in."""


def encoding_for(_name: str, tensor: Tensor) -> Encoding:
    """Return the tensor's own encoding, or f32 for a quantised one."""
    known = tensor.encoding.name in NAMES
    return tensor.encoding if known else ENCODINGS["f32"]
