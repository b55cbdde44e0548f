"""`aprhub stamp`: what a model says of itself changes, and not a byte of its tensors.

Whether it did is asked of readers that are not ours.
"""

import hashlib
import json
import shutil
import stat
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from attrs import evolve
from safetensors.numpy import load_file

from aprhub import ConvertOptions, open_model, save_model
from aprhub.api import Stamp
from aprhub.testing.files import contents
from aprhub_gguf import GGUF
from tests.judges import apr_checker, apr_container
from tests.judges.llama import Llama
from tests.plugins.gguf.disk import rendered
from tests.unit.cli.conftest import Models
from tests.unit.cli.program import refused, run, succeed

SUFFIXES = [".gguf", ".apr", "", ".safetensors"]
KINDS = pytest.mark.parametrize(
    "suffix", SUFFIXES, ids=["gguf", "apr", "folder", "one file"]
)

Stored = dict[str, tuple[str, str]]


@pytest.fixture(params=SUFFIXES, ids=["gguf", "apr", "folder", "one file"])
def file(request: pytest.FixtureRequest, models: Models, tmp_path: Path) -> Path:
    """A model that the test may change, in every kind of file."""
    return own(models, "llama-quantised", request.param, tmp_path)


def own(models: Models, pico: str, suffix: str, folder: Path) -> Path:
    """Return a copy of a model that may be changed."""
    source, target = models.file(pico, suffix), folder / f"mine{suffix}"
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    return target


def stored(path: Path) -> Stored:
    """Return encoding and SHA-256 of each tensor, as another reader has them."""
    if path.suffix == ".gguf":
        found = ((t.name, t.tensor_type.name, t.data) for t in _gguf(path).tensors)
    elif path.suffix == ".apr":
        found = (
            (name, f"{dtype} {shape}", np.frombuffer(data, np.uint8))
            for name, (dtype, shape, data) in apr_checker.read(path).tensors.items()
        )
    else:
        weights = path / "model.safetensors" if path.is_dir() else path
        arrays = load_file(weights).items()
        found = ((name, f"{a.dtype} {a.shape}", a) for name, a in arrays)
    return {n: (k, hashlib.sha256(a.tobytes()).hexdigest()) for n, k, a in found}


def _gguf(path: Path) -> Any:
    return gguf.GGUFReader(path)


def _field(path: Path, key: str) -> tuple[str, Any]:
    field = _gguf(path).fields[key]
    return field.types[0].name, field.contents()


def test_the_tensors_stay_what_they_are_to_the_byte(file: Path) -> None:
    before = stored(file)

    words = ("--license", "mit", "--author", "A very long name" * 40)
    found = succeed("stamp", file, "--in-place", "--verify", *words, "--json").json

    assert stored(file) == before
    assert found["tensor_count"] == len(before)
    assert len(found["tensor_sha256"]) == 64


def test_what_was_stamped_is_what_the_model_says(file: Path) -> None:
    words = {
        "license": "apache-2.0 or mit",
        "data_source": "a corpus",
        "data_license": "LicenseRef-corpus",
        "name": "Näme",
        "author": "Someone",
        "description": "A model.",
        "version": "2",
        "source": "hf://org/name",
    }
    options = (
        word
        for name, value in words.items()
        for word in (f"--{name.replace('_', '-')}", value)
    )

    succeed("stamp", file, "--in-place", *options)

    found = open_model(file).provenance
    words["license"] = "Apache-2.0 OR MIT"
    assert {name: getattr(found, name) for name in words} == words


def test_a_copy_leaves_the_source_alone(file: Path, tmp_path: Path) -> None:
    before, target = contents(file), tmp_path / f"copy{file.suffix}"

    succeed("stamp", file, "-o", target, "--license", "MIT")

    assert contents(file) == before
    assert stored(target) == stored(file)
    assert open_model(target).provenance.license == "MIT"
    assert contents(target).keys() == before.keys()


def test_an_output_that_exists_is_not_replaced_without_force(
    file: Path, tmp_path: Path
) -> None:
    before = contents(file)
    other = tmp_path / f"other{file.suffix}"
    succeed("stamp", file, "-o", other, "--license", "MIT")

    for target in (other, file):
        complaint = refused(2, "stamp", file, "-o", target, "--license", "ISC")
        assert "--force" in complaint
    succeed("stamp", file, "-o", other, "--license", "ISC", "--force")

    assert contents(file) == before
    assert open_model(other).provenance.license == "ISC"


def test_a_dry_run_says_the_same_and_writes_nothing(file: Path) -> None:
    before = contents(file)
    words = ("stamp", file, "--in-place", "--license", "MIT", "--json")

    told = succeed(*words, "--dry-run").json
    assert contents(file) == before
    done = succeed(*words).json

    same = ("stamped", "written_bytes", "output_bytes", "files", "tensor_bytes")
    assert {key: told[key] for key in same} == {key: done[key] for key in same}


def test_the_origin_of_a_model_is_told(file: Path) -> None:
    said = {
        "--data-source": "a corpus",
        "--description": "mine",
        "--source": "hf://a/b",
    }
    words = (word for pair in said.items() for word in pair)

    succeed("stamp", file, "--in-place", *words)

    found = open_model(file).provenance
    assert (found.data_source, found.description, found.source) == (*said.values(),)


def test_the_summary_counts_the_bytes_of_the_model(file: Path) -> None:
    before = sum(map(len, contents(file).values()))

    told = succeed("stamp", file, "--in-place", "--license", "MIT", "--json").json

    assert told["input_bytes"] == before
    assert told["output_bytes"] == sum(map(len, contents(file).values()))
    is_apr = file.suffix == ".apr"
    flags = apr_container.parse(file).flags if is_apr else None
    assert told["header_flags_bits"] == flags


def test_a_model_that_says_so_already_is_not_written(file: Path) -> None:
    succeed("stamp", file, "--in-place", "--license", "MIT")
    before = file.stat().st_mtime_ns

    found = succeed("stamp", file, "--in-place", "--license", "MIT", "--json").json

    assert (found["stamped"], found["files"]) == ({}, [])
    assert file.stat().st_mtime_ns == before


def test_the_summary_has_each_key_before_and_after(file: Path) -> None:
    found = succeed("stamp", file, "--in-place", "--license", "ISC", "--json").json

    ((key, change),) = found["stamped"].items()
    assert key.endswith("license")
    before, after = change["before"], change["after"]
    if file.suffix == ".gguf":
        assert before.pop("type") == after.pop("type") == "string"
        before, after = before["value"], after["value"]
    assert (before, after) == ("apache-2.0", "ISC")


def test_a_licence_that_nobody_could_look_up_is_refused(file: Path) -> None:
    before = contents(file)

    near = refused(2, "stamp", file, "--in-place", "--license", "Apache 2.0")
    vague = refused(2, "stamp", file, "--in-place", "--data-license", "unknown")

    assert "did you mean 'Apache-2.0'?" in near
    assert "'unknown' is no SPDX identifier" in vague
    assert contents(file) == before


@pytest.mark.parametrize(
    ("suffix", "key"),
    [(".apr", "license"), (".gguf", "aprhub.provenance.data_license")],
)
def test_a_licence_is_checked_under_the_formats_own_key_too(
    models: Models, suffix: str, key: str
) -> None:
    path = models.file("llama", suffix)

    complaint = refused(2, "stamp", path, "--in-place", "--set", f"{key}=whatever")

    assert "licence 'whatever' is no SPDX identifier" in complaint


def test_the_identity_of_another_family_is_refused(file: Path) -> None:
    before = contents(file)

    words = ("--hf-architecture", "Qwen2ForCausalLM", "--hf-model-type", "qwen2")
    complaint = refused(1, "stamp", file, "--in-place", *words)

    assert "contradict" in complaint
    assert contents(file) == before


@pytest.mark.parametrize(
    ("suffix", "key"),
    [
        (".gguf", "llama.block_count"),
        (".apr", "num_layers"),
        ("", "num_hidden_layers"),
        (".safetensors", "num_hidden_layers"),
    ],
)
def test_a_size_that_contradicts_the_tensors_is_refused(
    models: Models, tmp_path: Path, suffix: str, key: str
) -> None:
    path = own(models, "llama", suffix, tmp_path)
    before = contents(path)

    complaint = refused(1, "stamp", path, "--in-place", "--set", f"{key}=3")

    assert "layers.2.attn.q.weight: missing" in complaint
    assert contents(path) == before


@pytest.mark.parametrize(
    ("suffix", "words", "why"),
    [
        (".gguf", "general.alignment=64", "tensors are aligned when they are written"),
        (".gguf", "general.architecture=llama", "use --architecture"),
        (".gguf", "general.file_type=1", "follows from the encodings"),
        (".apr", "param_count=1", "counted from the tensors"),
        (".apr", "num_hidden_layers=2", "use num_layers"),
        ("", "torch_dtype=float16", "follows from the tensors"),
        ("", "aprhub.json/license=MIT", "use an option such as --license"),
    ],
)
def test_a_key_that_follows_from_others_is_refused_with_the_reason(
    models: Models, suffix: str, words: str, why: str
) -> None:
    path = models.file("llama", suffix)

    complaint = refused(2, "stamp", path, "--in-place", "--set", words)

    assert why in complaint


@pytest.mark.parametrize(
    ("words", "kind", "value"),
    [
        ("acme.a:u32=5", "UINT32", 5),
        ("acme.a:u8=5", "UINT8", 5),
        ("acme.a:i64=-5", "INT64", -5),
        ("acme.a:f64=0.1", "FLOAT64", 0.1),
        ("acme.a:bool=true", "BOOL", True),
        ("acme.a:string=5", "STRING", "5"),
        ("acme.a:str=true", "STRING", "true"),
        ("acme.a=5", "UINT32", 5),
        ("acme.a=-5", "INT32", -5),
        ("acme.a=0.5", "FLOAT32", 0.5),
        ("acme.a=false", "BOOL", False),
        ("acme.a=a=b", "STRING", "a=b"),
        ('acme.a:json=["x", "y"]', "ARRAY", ["x", "y"]),
        ("general.version=3", "STRING", "3"),
        ("llama.rope.freq_base=20000", "FLOAT32", 20000.0),
    ],
)
def test_a_gguf_key_has_the_type_that_was_named_or_was_there(
    models: Models, tmp_path: Path, words: str, kind: str, value: object
) -> None:
    path = own(models, "llama", ".gguf", tmp_path)
    succeed("stamp", path, "--in-place", "--version", "1")

    succeed("stamp", path, "--in-place", "--set", words)

    key = words.partition("=")[0].partition(":")[0]
    assert _field(path, key) == (kind, value)


@pytest.mark.parametrize(
    ("suffix", "words", "why"),
    [
        (".gguf", "acme.a:u99=5", "no type is called 'u99'"),
        (".gguf", "acme.a:u32=five", "'five' is not of type int"),
        (".gguf", "llama.block_count=two", "'two' is not of type int"),
        (".gguf", "nothing", "neither KEY=VALUE nor"),
        (".apr", "acme:bool=yes", "'yes' is not of type bool"),
        (".apr", "acme:u32=5", "no type is called 'u32'"),
        ("", "__metadata__/acme:int=5", "are all text"),
        ("", "tokenizer.json/model=x", "not set one by one"),
    ],
)
def test_a_value_of_another_type_is_refused(
    models: Models, suffix: str, words: str, why: str
) -> None:
    path = models.file("llama", suffix)

    assert why in refused(2, "stamp", path, "--in-place", "--set", words)


def test_a_key_that_is_not_there_cannot_be_unset(file: Path) -> None:
    complaint = refused(2, "stamp", file, "--in-place", "--unset", "acme.nothing")

    assert "acme.nothing is not there" in complaint


def test_keys_of_the_files_in_a_folder_are_set_and_unset(
    models: Models, tmp_path: Path
) -> None:
    path = own(models, "llama", "", tmp_path)
    settings = {
        "attention_dropout": "0.25",
        "generation_config.json/top_p": "0.9",
        "__metadata__/acme": "7",
    }
    words = [w for k, v in settings.items() for w in ("--set", f"{k}={v}")]

    unset = ("--unset", "generation_config.json/top_k")
    succeed("stamp", path, "--in-place", *words, *unset, "--verify")

    config = json.loads((path / "config.json").read_text())
    generation = json.loads((path / "generation_config.json").read_text())
    found = succeed("inspect", path, "--json").json["metadata"]
    assert config["attention_dropout"] == 0.25
    assert generation == {"temperature": 0.6, "top_p": 0.9}
    assert found["__metadata__/acme"] == "7"


def test_the_weights_of_a_folder_are_not_written_for_its_texts(
    models: Models, tmp_path: Path
) -> None:
    path = own(models, "llama", "", tmp_path)
    (path / "README.md").write_text("a card")
    (path / "original").mkdir()
    (path / "original" / "notes.txt").write_text("old")
    before = (path / "model.safetensors").stat()

    succeed("stamp", path, "--in-place", "--license", "MIT")

    after = (path / "model.safetensors").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (path / "README.md").read_text() == "a card"
    assert (path / "original" / "notes.txt").read_text() == "old"


def test_a_folder_of_links_is_copied_and_not_changed_in_place(
    models: Models, tmp_path: Path
) -> None:
    path = own(models, "llama", "", tmp_path)
    (path / "model.safetensors").rename(path / "blob.bin")
    (path / "model.safetensors").symlink_to("blob.bin")

    complaint = refused(2, "stamp", path, "--in-place", "--license", "MIT")
    succeed("stamp", path, "-o", tmp_path / "copy", "--license", "MIT")

    assert "model.safetensors is a link" in complaint
    assert stored(tmp_path / "copy") == stored(path)


def test_a_file_keeps_its_permissions(models: Models, tmp_path: Path) -> None:
    path = own(models, "llama", ".gguf", tmp_path)
    path.chmod(0o640)

    succeed("stamp", path, "--in-place", "--license", "MIT")

    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_format_says_by_name_what_it_cannot_say(models: Models) -> None:
    path = models.file("llama", "")

    complaint = refused(1, "stamp", path, "--in-place", "--architecture", "llama")

    assert "no key for an architecture" in complaint


def test_bare_weights_have_no_identity_to_stamp(models: Models, tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    shutil.copy(models.file("llama", "") / "model.safetensors", path)
    before = stored(path)

    succeed("stamp", path, "--in-place", "--license", "MIT", "--set", "acme=1")
    complaint = refused(1, "stamp", path, "--in-place", "--hf-model-type", "llama")

    assert "there is no config.json that could say model_type" in complaint
    assert stored(path) == before
    found = succeed("inspect", path, "--json", "--naming", "keep").json
    assert found["provenance"]["license"] == "MIT"


def test_weights_whose_configuration_lies_beside_them_are_stamped_by_their_folder(
    models: Models,
) -> None:
    path = models.file("llama", "") / "model.safetensors"

    complaint = refused(2, "stamp", path, "--in-place", "--license", "MIT")

    assert f"give the folder, {path.parent}" in complaint


@pytest.mark.parametrize("source", [".gguf", ""], ids=["a model", "a folder"])
def test_a_tokenizer_comes_from_a_folder_or_another_model(
    models: Models, tmp_path: Path, source: str
) -> None:
    path = tmp_path / "bare.apr"
    without = evolve(models.pico("llama"), tokenizer=None)
    save_model(without, path, ConvertOptions(allow_unrunnable=True))
    assert open_model(path).tokenizer is None

    succeed("stamp", path, "--in-place", "--tokenizer", models.file("llama", source))

    assert apr_checker.check(path) == []
    found = open_model(path).tokenizer
    assert found is not None
    assert found.special_ids["eos"] == 266


def test_a_tokenizer_of_more_tokens_than_rows_is_refused(
    models: Models, tmp_path: Path
) -> None:
    path = own(models, "llama", ".gguf", tmp_path)
    program = json.loads((models.file("llama", "") / "tokenizer.json").read_text())
    word = {**program["added_tokens"][0], "special": False}
    program["added_tokens"] += [
        {**word, "id": 268 + i, "content": f"<x{i}>"} for i in range(30)
    ]
    (tmp_path / "tokenizer.json").write_text(json.dumps(program))
    before = contents(path)

    complaint = refused(1, "stamp", path, "--in-place", "--tokenizer", tmp_path)

    assert "288" in complaint
    assert contents(path) == before


@KINDS
def test_a_chat_template_is_put_where_the_format_has_it(
    models: Models, tmp_path: Path, suffix: str
) -> None:
    path = own(models, "llama", suffix, tmp_path)
    text = tmp_path / "chat.jinja"
    text.write_text("{{ messages[0] }}")

    succeed("stamp", path, "--in-place", "--chat-template", text)

    found = open_model(path).tokenizer
    assert found is not None
    assert found.chat_template == "{{ messages[0] }}"


def test_another_architecture_renames_the_keys_that_begin_with_it(
    models: Models, tmp_path: Path
) -> None:
    path = own(models, "qwen2", ".gguf", tmp_path)
    before = contents(path)
    assert GGUF.restate
    wrong = GGUF.restate(path, Stamp(identity={"architecture": "llama"}), path)
    path.write_bytes(rendered(wrong.layout.files[0]))
    fields = _gguf(path).fields

    succeed("stamp", path, "--in-place", "--architecture", "qwen2")

    assert "llama.block_count" in fields
    assert not any(key.startswith("qwen2.") for key in fields)
    assert contents(path) == before


def test_a_split_model_keeps_its_parts(models: Models, tmp_path: Path) -> None:
    source = models.file("llama", ".gguf")
    succeed("convert", source, tmp_path / "m.gguf", "--shard-size", "100k")
    parts = sorted(tmp_path.glob("m-*.gguf"))
    before = [stored(part) for part in parts]

    succeed("stamp", parts[-1], "--in-place", "--license", "MIT", "--verify")

    assert [stored(part) for part in parts] == before
    assert _field(parts[0], "general.license") == ("STRING", "MIT")
    assert sorted(tmp_path.iterdir()) == parts


def test_llama_cpp_loads_what_was_stamped(models: Models, tmp_path: Path) -> None:
    path = own(models, "llama", ".gguf", tmp_path)

    succeed("stamp", path, "--in-place", "--license", "MIT", "--set", "acme.a:u64=5")

    with Llama.load(path, n_ctx=64) as judge:
        assert np.isfinite(judge.logits([1, 2, 3])).all()


def test_a_damaged_file_is_not_hidden_behind_a_new_checksum(
    models: Models, tmp_path: Path
) -> None:
    path = own(models, "llama", ".apr", tmp_path)
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)

    complaint = refused(1, "stamp", path, "--in-place", "--license", "MIT")

    assert "damaged; a stamp would hide it" in complaint
    assert path.read_bytes() == data


def test_a_stamp_needs_something_to_say_and_somewhere_to_go(file: Path) -> None:
    assert "nothing to stamp" in refused(2, "stamp", file, "--in-place")
    done = run("stamp", file, "--license", "MIT")
    assert done.code == 2
    assert "either -o OUTPUT or --in-place" in done.err
    assert list(file.parent.iterdir()) == [file]
