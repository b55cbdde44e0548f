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
    near_miss,
)
from aprhub.files import opened_file, reading, undecodable
from aprhub.hookspecs import hookimpl
from aprhub.ir.adapter import Adapter, Rows
from aprhub.ir.config import Identity, ModelConfig, RopeScaling
from aprhub.ir.encoding import ENCODINGS, Encoding, opaque
from aprhub.ir.importance import Importance, Measured
from aprhub.ir.joining import combined, concatenated, stacked
from aprhub.ir.lowrank import LowRank
from aprhub.ir.model import LineageStep, ModelIR, Provenance
from aprhub.ir.packed import ComputedRows, computed_part, packed
from aprhub.ir.sampling import SamplingDefaults
from aprhub.ir.source import Bytes, FileRange, Memory, Source
from aprhub.ir.tensor import Tensor
from aprhub.ir.texts import Texts, as_texts
from aprhub.ir.tokenizer import FlatVocabulary, Tokenizer
from aprhub.json_document import Document, decoded_json, shown
from aprhub.spec.adapter import (
    AdapterFiles,
    AdapterLayout,
    AdapterPart,
    AdapterTensor,
    AlphaClaim,
    StoredAdapter,
)
from aprhub.spec.codec import Codec, Encode
from aprhub.spec.family import DecoderSpec, Family, WeightSpec
from aprhub.spec.format import (
    HF_TOKENIZER_TEXTS,
    HF_WORLD,
    Confidence,
    FileEvidence,
    Format,
    KeyFate,
    Magic,
    PackingClaim,
    StoredChecksum,
    StoredModel,
)
from aprhub.spec.health import (
    UNDECIDED,
    Complaints,
    Dispute,
    Examined,
    Finding,
    meant_number,
    mistyped,
    respelled,
    rewritten,
    without_checksums,
)
from aprhub.spec.importance import ImportanceFormat
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
from aprhub.spec.naming import Adjustment, Naming, Rule
from aprhub.spec.packing import Packing
from aprhub.spec.quality import Answers
from aprhub.spec.spelling import Part, Spelling, Transform
from aprhub.spec.stamp import Restated, Setting, Stamp
from aprhub.spec.text_part import TextPart, name_in_text_model

if TYPE_CHECKING:
    from aprhub.tokenizer import (
        assembled,
        completed_program,
        described,
        described_pieces,
        flattened,
        joined_files,
        read_folder,
        read_sentencepiece,
        restored,
        same_ids,
        same_split,
        skeleton,
        token_ids,
    )
    from aprhub.tokenizer.scanning import parsed_with_columns
    from aprhub.yaml_document import parsed_yaml

__all__ = [
    "ENCODINGS",
    "HF_TOKENIZER_TEXTS",
    "HF_WORLD",
    "UNDECIDED",
    "Adapter",
    "AdapterFiles",
    "AdapterLayout",
    "AdapterPart",
    "AdapterTensor",
    "Adjustment",
    "AlphaClaim",
    "Answers",
    "AprhubError",
    "Blend",
    "Bytes",
    "Codec",
    "Complaints",
    "ComputedRows",
    "Confidence",
    "CorruptFileError",
    "Crc32",
    "DecoderSpec",
    "Dispute",
    "Document",
    "Encode",
    "Encoding",
    "EnvironmentFailureError",
    "Examined",
    "Family",
    "Fault",
    "FileEvidence",
    "FileRange",
    "Finding",
    "FlatVocabulary",
    "Format",
    "Group",
    "Identity",
    "Importance",
    "ImportanceFormat",
    "InputError",
    "KeyFate",
    "Layout",
    "LayoutFile",
    "LayoutOptions",
    "LineageStep",
    "Literal",
    "LowRank",
    "Magic",
    "Measured",
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
    "Packing",
    "PackingClaim",
    "Padding",
    "Parameter",
    "Part",
    "Piece",
    "Provenance",
    "Restated",
    "RopeScaling",
    "Rows",
    "Rule",
    "SamplingDefaults",
    "Setting",
    "Settings",
    "Source",
    "Spelling",
    "Stamp",
    "StoredAdapter",
    "StoredChecksum",
    "StoredModel",
    "Tensor",
    "TensorData",
    "TextPart",
    "Texts",
    "Tokenizer",
    "Transform",
    "UnrepresentableError",
    "UnsupportedFileError",
    "UsageError",
    "Values",
    "WeightSpec",
    "as_texts",
    "assembled",
    "combined",
    "completed_program",
    "computed_part",
    "concatenated",
    "decoded_json",
    "described",
    "described_pieces",
    "flattened",
    "hookimpl",
    "joined_files",
    "meant_number",
    "mistyped",
    "name_in_text_model",
    "near_miss",
    "opaque",
    "opened_file",
    "packed",
    "padding",
    "parsed_with_columns",
    "parsed_yaml",
    "read_folder",
    "read_sentencepiece",
    "reading",
    "respelled",
    "restored",
    "rewritten",
    "same_ids",
    "same_split",
    "sharded",
    "shown",
    "skeleton",
    "stacked",
    "token_ids",
    "undecodable",
    "without_checksums",
]

__getattr__ = deferred(
    __name__,
    {
        **dict.fromkeys(tokenizer.__all__, tokenizer.__name__),
        "parsed_with_columns": "aprhub.tokenizer.scanning",
        "parsed_yaml": "aprhub.yaml_document",
    },
)
