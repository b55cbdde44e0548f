"""All that a plugin may import. Names here are a promise within a minor version."""

from typing import TYPE_CHECKING

from aprhub import tokenizer
from aprhub.deferred import deferred
from aprhub.errors import (
    AprhubError,
    CorruptFileError,
    EnvironmentFailureError,
    Fault,
    InputError,
    MissingFileError,
    ModelCheckError,
    ModelError,
    UnrepresentableError,
    UnsupportedFileError,
    UsageError,
)
from aprhub.hookspecs import hookimpl
from aprhub.ir.config import Identity, ModelConfig, RopeScaling
from aprhub.ir.encoding import ENCODINGS, Encoding, opaque
from aprhub.ir.model import LineageStep, ModelIR, Provenance
from aprhub.ir.source import Bytes, FileRange, Memory, Source
from aprhub.ir.tensor import Tensor, combined, concatenated, stacked
from aprhub.ir.tokenizer import FlatVocabulary, Tokenizer
from aprhub.spec.codec import Codec
from aprhub.spec.family import Family, WeightSpec
from aprhub.spec.format import (
    HF_WORLD,
    Confidence,
    FileEvidence,
    Format,
    KeyFate,
    Magic,
    StoredChecksum,
    StoredModel,
)
from aprhub.spec.layout import (
    Crc32,
    Layout,
    LayoutFile,
    LayoutOptions,
    Literal,
    Padding,
    TensorData,
    padding,
    sharded,
)
from aprhub.spec.merging import (
    Blend,
    Group,
    MergeMethod,
    Number,
    Numbers,
    Parameter,
    Piece,
    Settings,
    Values,
)
from aprhub.spec.naming import Adjustment, Naming, Rule, Spelling, Transform

if TYPE_CHECKING:
    from aprhub.tokenizer import (
        assembled,
        described,
        described_pieces,
        flattened,
        joined_files,
        read_sentencepiece,
        restored,
        same_ids,
        skeleton,
        token_ids,
    )

__all__ = [
    "ENCODINGS",
    "HF_WORLD",
    "Adjustment",
    "AprhubError",
    "Blend",
    "Bytes",
    "Codec",
    "Confidence",
    "CorruptFileError",
    "Crc32",
    "Encoding",
    "EnvironmentFailureError",
    "Family",
    "Fault",
    "FileEvidence",
    "FileRange",
    "FlatVocabulary",
    "Format",
    "Group",
    "Identity",
    "InputError",
    "KeyFate",
    "Layout",
    "LayoutFile",
    "LayoutOptions",
    "LineageStep",
    "Literal",
    "Magic",
    "Memory",
    "MergeMethod",
    "MissingFileError",
    "ModelCheckError",
    "ModelConfig",
    "ModelError",
    "ModelIR",
    "Naming",
    "Number",
    "Numbers",
    "Padding",
    "Parameter",
    "Piece",
    "Provenance",
    "RopeScaling",
    "Rule",
    "Settings",
    "Source",
    "Spelling",
    "StoredChecksum",
    "StoredModel",
    "Tensor",
    "TensorData",
    "Tokenizer",
    "Transform",
    "UnrepresentableError",
    "UnsupportedFileError",
    "UsageError",
    "Values",
    "WeightSpec",
    "assembled",
    "combined",
    "concatenated",
    "described",
    "described_pieces",
    "flattened",
    "hookimpl",
    "joined_files",
    "opaque",
    "padding",
    "read_sentencepiece",
    "restored",
    "same_ids",
    "sharded",
    "skeleton",
    "stacked",
    "token_ids",
]

__getattr__ = deferred(__name__, dict.fromkeys(tokenizer.__all__, tokenizer.__name__))
