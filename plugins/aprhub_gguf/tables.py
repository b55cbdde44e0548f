"""GGUF's numbers: value types, tensor types, file types, limits.

Sources: `docs/gguf.md` of ggml-org/ggml and the enumerations of `ggml.h`, `gguf.h` and
`llama.h` of llama.cpp.
"""

import re
import struct
from types import MappingProxyType
from typing import Final

from attrs import frozen

MAGIC: Final = b"GGUF"
VERSION: Final = 3
READ_VERSIONS: Final = (2, 3)
DEFAULT_ALIGNMENT: Final = 32
QUANTIZATION_VERSION: Final = 2

CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""What no key and no name of a tensor may have; it would end up on terminals."""

NAME_BYTES: Final = 63
"""The longest tensor name: ggml keeps 64 bytes with the closing NUL."""

MAX_ALIGNMENT: Final = 1 << 24
MAX_DIMENSIONS: Final = 4
MAX_ELEMENTS: Final = (1 << 63) - 1
MAX_PARTS: Final = 65535

KEY_BYTES: Final = 65535
"""The longest key, as the specification has it."""

STRING_BYTES: Final = 1 << 26
"""The longest string, or list of strings, that is read; the largest `tokenizer.json`
in use are half of that."""

STRING_COUNT: Final = 1 << 22
"""The longest list of strings that is read: sixteen times the largest vocabulary."""

ARRAY_COUNT: Final = 1 << 30
"""The longest array of numbers, as in ggml's own reader."""


@frozen
class ValueType:
    """A type of metadata value; `code` is its `struct` letter, empty if it has none."""

    id: int
    name: str
    code: str = ""

    @property
    def nbytes(self) -> int:
        """How many bytes one value takes; 0 where that depends on the value."""
        return struct.calcsize(f"<{self.code}")


_VALUE_TYPES = (
    ValueType(0, "u8", "B"),
    ValueType(1, "i8", "b"),
    ValueType(2, "u16", "H"),
    ValueType(3, "i16", "h"),
    ValueType(4, "u32", "I"),
    ValueType(5, "i32", "i"),
    ValueType(6, "f32", "f"),
    ValueType(7, "bool", "B"),
    ValueType(8, "string"),
    ValueType(9, "array"),
    ValueType(10, "u64", "Q"),
    ValueType(11, "i64", "q"),
    ValueType(12, "f64", "d"),
)
VALUE_TYPES: Final = MappingProxyType({each.id: each for each in _VALUE_TYPES})
VALUE_TYPE_NAMES: Final = MappingProxyType({each.name: each for each in _VALUE_TYPES})

INTEGERS: Final = ("u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64")
FLOATS: Final = ("f32", "f64")

TENSOR_TYPES: Final = MappingProxyType(
    {
        0: "f32",
        1: "f16",
        2: "q4_0",
        3: "q4_1",
        6: "q5_0",
        7: "q5_1",
        8: "q8_0",
        9: "q8_1",
        10: "q2_k",
        11: "q3_k",
        12: "q4_k",
        13: "q5_k",
        14: "q6_k",
        15: "q8_k",
        16: "iq2_xxs",
        17: "iq2_xs",
        18: "iq3_xxs",
        19: "iq1_s",
        20: "iq4_nl",
        21: "iq3_s",
        22: "iq2_s",
        23: "iq4_xs",
        24: "i8",
        25: "i16",
        26: "i32",
        27: "i64",
        28: "f64",
        29: "iq1_m",
        30: "bf16",
        34: "tq1_0",
        35: "tq2_0",
        39: "mxfp4",
        40: "nvfp4",
        41: "q1_0",
        42: "q2_0",
    }
)
"""The encoding of each ggml type."""

TENSOR_TYPE_IDS: Final = MappingProxyType(
    {name: number for number, name in TENSOR_TYPES.items()}
)

REMOVED_TENSOR_TYPES: Final = frozenset((4, 5, 31, 32, 33, 36, 37, 38))
"""Types that once existed and whose blocks nobody reads any more."""

FILE_TYPES: Final = MappingProxyType(
    {
        "f32": 0,
        "f16": 1,
        "q4_0": 2,
        "q4_1": 3,
        "q8_0": 7,
        "q5_0": 8,
        "q5_1": 9,
        "q2_k": 10,
        "q3_k": 12,
        "q4_k": 15,
        "q5_k": 17,
        "q6_k": 18,
        "iq2_xxs": 19,
        "iq2_xs": 20,
        "iq3_xxs": 23,
        "iq1_s": 24,
        "iq4_nl": 25,
        "iq3_s": 26,
        "iq2_s": 28,
        "iq4_xs": 30,
        "iq1_m": 31,
        "bf16": 32,
        "tq1_0": 36,
        "tq2_0": 37,
        "mxfp4": 38,
        "nvfp4": 39,
        "q1_0": 40,
        "q2_0": 41,
    }
)
"""The `general.file_type` of a model whose matrices are mostly in one encoding."""

MIXTURE_TYPES: Final = MappingProxyType(
    {
        "q2_k_s": 21,
        "q3_k_s": 11,
        "q3_k_m": 12,
        "q3_k_l": 13,
        "q4_k_s": 14,
        "q4_k_m": 15,
        "q5_k_s": 16,
        "q5_k_m": 17,
        "iq3_xs": 22,
        "iq3_m": 27,
        "iq2_m": 29,
        "mxfp4_moe": 38,
    }
)
"""The same of mixtures that have no encoding's name."""
