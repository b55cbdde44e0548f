"""Our numbers are those of the `gguf` package."""

import subprocess
import sys

import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, LlamaFileType
from gguf.constants import MODEL_ARCH_NAMES

from aprhub.api import ENCODINGS
from aprhub_gguf import GGUF
from aprhub_gguf.architectures import (
    ARCHITECTURES,
    FULLY_ROTARY,
    HEADED,
    HEADLESS,
    RMS_NORM,
    UNSPLIT,
)
from aprhub_gguf.tables import FILE_TYPES, TENSOR_TYPES, VALUE_TYPES

VALUE_WORDS = {
    "u8": "UINT8",
    "i8": "INT8",
    "u16": "UINT16",
    "i16": "INT16",
    "u32": "UINT32",
    "i32": "INT32",
    "u64": "UINT64",
    "i64": "INT64",
    "f32": "FLOAT32",
    "f64": "FLOAT64",
    "bool": "BOOL",
    "string": "STRING",
    "array": "ARRAY",
}

# The package counts 40 bytes for a block of q8_1, as ggml did before its scales
# became f16.
STALE = GGMLQuantizationType.Q8_1


def test_types_of_values_have_the_same_numbers() -> None:
    assert {VALUE_WORDS[each.name]: each.id for each in VALUE_TYPES.values()} == {
        each.name: each.value for each in GGUFValueType
    }


def test_every_type_of_tensor_is_known() -> None:
    theirs = {each.value: each.name.lower() for each in GGMLQuantizationType}

    assert {**TENSOR_TYPES, **theirs} == TENSOR_TYPES


@pytest.mark.parametrize(
    "kind", [each for each in GGMLQuantizationType if each != STALE]
)
def test_blocks_have_the_same_sizes(kind: GGMLQuantizationType) -> None:
    encoding = ENCODINGS[TENSOR_TYPES[kind.value]]

    assert (encoding.block_elements, encoding.block_bytes) == GGML_QUANT_SIZES[kind]


def test_file_types_have_the_same_numbers() -> None:
    theirs = {each.value: each.name for each in LlamaFileType}

    for name, number in FILE_TYPES.items():
        if number in theirs:
            assert name in theirs[number].lower()


def test_every_architecture_of_the_package_is_known() -> None:
    files_of_pictures = {"clip", "mmproj"}

    assert {*MODEL_ARCH_NAMES.values()} - files_of_pictures <= ARCHITECTURES


def test_rules_are_about_known_architectures() -> None:
    assert HEADED | HEADLESS | FULLY_ROTARY | RMS_NORM | UNSPLIT <= ARCHITECTURES


def test_the_format_declares_what_the_hub_asks() -> None:
    assert GGUF.name == "gguf"
    assert GGUF.namings == ("ggml",)
    assert GGUF.tokenizer_form == "flat"
    assert not GGUF.stores_tied_head


def test_listing_the_format_imports_no_reader() -> None:
    program = (
        "import sys, aprhub_gguf; list(aprhub_gguf.provide_formats());"
        " sys.exit('aprhub_gguf.reader' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
