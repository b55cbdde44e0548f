"""A stamp is what the reference's own stamp makes of the same file."""

import json
import shutil
from pathlib import Path

import pytest

from aprhub import stamp
from aprhub.stamping.options import StampOptions
from tests.judges import apr_checker
from tests.plugins.apr import checkpoint, golden
from tests.unit.cli.program import refused, succeed


def own(name: str, folder: Path) -> Path:
    target = folder / name
    shutil.copy(golden.path(name), target)
    target.chmod(0o644)
    return target


def test_a_stamp_makes_the_file_that_the_reference_makes(tmp_path: Path) -> None:
    source = golden.path("s86_llama_arch_qwen2_tensors.apr")
    theirs = apr_checker.read(golden.path("s86_stamped.apr"))
    said = theirs.metadata
    target = tmp_path / "stamped.apr"

    succeed(
        *("stamp", source, "-o", target, "--license", said["license"]),
        *("--architecture", said["architecture"]),
        *("--hf-architecture", said["hf_architecture"]),
        *("--hf-model-type", said["hf_model_type"]),
    )

    ours = apr_checker.read(target)
    assert ours.metadata == theirs.metadata
    assert ours.tensors == theirs.tensors


@pytest.mark.parametrize(
    "name",
    ["legacy_dtype_ids.apr", "streaming_writer.apr", "kquants.apr", "dtypes.apr"],
)
def test_type_ids_shapes_and_payloads_stay_as_odd_as_they_are(
    name: str, tmp_path: Path
) -> None:
    path = own(name, tmp_path)
    before = apr_checker.read(path).tensors

    stamp(path, StampOptions({"author": "Somebody"}))

    after = apr_checker.read(path)
    assert after.tensors == before
    assert after.metadata["author"] == "Somebody"


def test_flags_that_metadata_do_not_decide_are_kept(tmp_path: Path) -> None:
    path = own("signed_flag.apr", tmp_path)
    before = int.from_bytes(path.read_bytes()[6:8], "little")

    stamp(path, StampOptions({"author": "Somebody"}))

    assert int.from_bytes(path.read_bytes()[6:8], "little") == before


def test_setting_a_key_removes_its_other_spellings(tmp_path: Path) -> None:
    path = own("qwen2_tiny_gguf_import_alias.apr", tmp_path)

    succeed("stamp", path, "--in-place", "--set", "num_layers=2")

    keys = apr_checker.read(path).metadata
    assert keys["num_layers"] == 2
    assert "num_hidden_layers" not in keys


def test_a_nested_configuration_says_the_same_as_the_stamp(tmp_path: Path) -> None:
    said = {"hf_architecture": "LlamaForCausalLM", "model_type": "llama", "layers": 1}
    path = checkpoint.written(tmp_path / "last.apr", model_config=json.dumps(said))

    words = ("--hf-architecture", "Qwen2ForCausalLM", "--hf-model-type", "qwen2")
    succeed("stamp", path, "--in-place", "--architecture", "qwen2", *words)

    keys = apr_checker.read(path).metadata
    nested = {"hf_architecture": "Qwen2ForCausalLM", "model_type": "qwen2", "layers": 1}
    assert json.loads(keys["model_config"]) == nested
    assert keys["hf_model_type"] == "qwen2"


def test_a_whole_nested_configuration_is_not_set(tmp_path: Path) -> None:
    path = own("qwen2_tiny_hf.apr", tmp_path)

    complaint = refused(2, "stamp", path, "--in-place", "--set", "model_config={}")

    assert "set the keys in it by their own names" in complaint


def test_unsetting_a_licence_leaves_the_null_that_readers_expect(
    tmp_path: Path,
) -> None:
    path = own("no_tokenizer_stamped.apr", tmp_path)

    succeed("stamp", path, "--in-place", "--unset", "license", "--unset", "name")

    keys = apr_checker.read(path).metadata
    assert keys["license"] is None
    assert "name" not in keys


def test_a_key_without_which_no_file_is_read_stays(tmp_path: Path) -> None:
    path = own("qwen2_tiny_hf.apr", tmp_path)

    complaint = refused(1, "stamp", path, "--in-place", "--unset", "model_type")

    assert "model_type" in complaint
