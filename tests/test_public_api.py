"""What is promised to users and plugin authors, and what start-up costs."""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import FunctionType

import pytest

import aprhub
from aprhub import api
from aprhub.cli import COMMANDS

ROOT = Path(__file__).parents[1]

FRONT = """
AdapterMerge AprhubError ConvertOptions Course FinetuneOptions LowRankOptions ModelIR
PretrainOptions Registry Report RunOptions Sampling StampOptions Tensor VerifyOptions
__version__ convert diff divergence evaluate finetune generate imatrix measure merge
merge_adapters open_model pretrain quality save_model stamp verify
"""

API = """
Adapter AdapterFiles AdapterLayout AdapterPart AdapterTensor Adjustment AlphaClaim
Answers AprhubError Blend Bytes Codec Complaints ComputedRows Confidence
CorruptFileError Crc32 DecoderSpec Dispute Document Encode Encoding ENCODINGS
EnvironmentFailureError Examined Family Fault FileEvidence FileRange Finding
FlatVocabulary Format Group HF_TOKENIZER_TEXTS HF_WORLD Identity Importance
ImportanceFormat InputError KeyFate Layout LayoutFile LayoutOptions LineageStep Literal
LowRank Magic Measured Memory MergeMethod MissingFileError ModelCheckError ModelConfig
ModelError ModelIR Naming Number Numbers Packing PackingClaim Padding Parameter Part
Piece Provenance Restated RopeScaling Rows Rule SamplingDefaults Setting Settings Source
Spelling Stamp StoredAdapter StoredChecksum StoredModel Tensor TensorData TextPart Texts
Tokenizer Transform UNDECIDED UnrepresentableError UnsupportedFileError UsageError
Values WeightSpec as_texts assembled combined completed_program computed_part
concatenated decoded_json described described_pieces flattened hookimpl joined_files
meant_number mistyped name_in_text_model near_miss opaque opened_file packed padding
parsed_with_columns parsed_yaml read_folder read_sentencepiece reading respelled
restored rewritten same_ids same_split sharded shown skeleton stacked token_ids
undecodable without_checksums
"""

HEAVY = {
    *("cattrs", "gguf", "hypothesis", "isal", "ml_dtypes", "numpy", "orjson", "pluggy"),
    *("pytest", "rich", "safetensors", "tokenizers", "torch", "transformers", "yaml"),
}


def test_the_front_door_has_exactly_the_reviewed_names() -> None:
    assert sorted(aprhub.__all__) == sorted(FRONT.split())


def test_plugins_are_promised_exactly_the_reviewed_names() -> None:
    assert sorted(api.__all__) == sorted(API.split())


@pytest.mark.parametrize("module", [aprhub, api], ids=["aprhub", "aprhub.api"])
def test_every_promised_name_is_there(module: object) -> None:
    names = vars(module)["__all__"]

    assert [name for name in names if getattr(module, name, None) is None] == []


@pytest.mark.parametrize("name", [n for n in api.__all__ if not n.isupper()])
def test_every_promised_function_and_class_is_described(name: str) -> None:
    promised = getattr(api, name)

    assert not isinstance(promised, type | FunctionType) or promised.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match="'aprhub' has no attribute 'merge_all'"):
        aprhub.merge_all  # noqa: B018  # the access is what is tested


def test_every_part_of_a_project_says_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert project["version"] == aprhub.__version__ == metadata.version("aprhub")


def test_every_plugin_in_the_repository_is_an_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    folders = {each.name for each in (ROOT / "plugins").glob("aprhub_*")}

    assert set(project["entry-points"]["aprhub"].values()) == folders


def _imported(*arguments: str) -> set[str]:
    """Return the top-level modules that a run of Python imports."""
    line = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [row.rpartition("|") for row in done.stderr.splitlines()]
    return {name.strip().split(".")[0] for _, bar, name in rows if bar}


@pytest.mark.parametrize("words", [["--help"], ["--version"]], ids=" ".join)
def test_help_and_version_import_the_command_line_alone(words: list[str]) -> None:
    found = _imported("-m", "aprhub", *words)

    assert "click" in found
    assert found & HEAVY == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_imports_no_arithmetic(command: str) -> None:
    assert _imported("-m", "aprhub", command, "--help") & HEAVY == set()


def test_the_front_door_is_light_until_it_is_used() -> None:
    assert _imported("-c", "import aprhub") & HEAVY == set()


def test_listing_plugins_imports_no_library_of_a_format() -> None:
    found = _imported("-m", "aprhub", "plugins")

    assert {"numpy", "pluggy"} <= found
    assert (
        found & {"gguf", "isal", "safetensors", "tokenizers", "torch", "yaml"} == set()
    )
