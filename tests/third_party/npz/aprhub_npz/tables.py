"""What an array's header says of its type, and where a model's description is.

The layout of a header: `numpy.lib.format`, "Format Version 1.0".
"""

from collections.abc import Mapping
from typing import Final

from aprhub.api import ENCODINGS, Encoding

METADATA: Final = "metadata.json"
SUFFIX: Final = ".npy"
NPY_MAGIC: Final = b"\x93NUMPY\x01\x00"
ALIGNMENT: Final = 64

DTYPES: Final[Mapping[str, str]] = {
    "<f8": "f64",
    "<f4": "f32",
    "<f2": "f16",
    "<i8": "i64",
    "<i4": "i32",
    "<i2": "i16",
    "|i1": "i8",
    "<u8": "u64",
    "<u4": "u32",
    "<u2": "u16",
    "|u1": "u8",
    "|b1": "bool",
}
"""Types that numpy has a name for; the others are bytes that the description names."""

DESCRIPTIONS: Final = {encoding: text for text, encoding in DTYPES.items()}
BYTES: Final = "|u1"


def is_native(encoding: Encoding) -> bool:
    """Return whether numpy has a name for an encoding."""
    return encoding.name in DESCRIPTIONS


def described(dtype: str) -> Encoding | None:
    """Return the encoding of a type in numpy's words, or None for any other type."""
    return ENCODINGS.get(DTYPES.get(dtype, ""))
