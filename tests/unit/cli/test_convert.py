"""`aprhub convert`: what it says in text and in JSON, and what it leaves on disk."""

import tempfile
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Models
from tests.unit.cli.program import refused, run, succeed

FIELDS = """
dry_run family files inputs keys losses naming nbytes notes schema seconds source
source_format target target_format tensors unrunnable verified
"""
TENSOR_FIELDS = """
canonical encoding nbytes shape source steps stored_encoding target
"""
TARGETS = ["out.gguf", "out.apr", "out.safetensors", "out"]


def sizes(paths: list[str]) -> dict[str, int]:
    return {path: Path(path).stat().st_size for path in paths}


def entries(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("suffix", [".gguf", ".apr", ""])
def test_every_format_becomes_every_other_and_differs_in_nothing(
    models: Models, tmp_path: Path, suffix: str, target: str
) -> None:
    source = models.file("llama", suffix)

    report = succeed("convert", source, tmp_path / target, "--json").json

    told = {each["path"]: each["nbytes"] for each in report["files"]}
    assert told == sizes(list(told))
    assert report["nbytes"] == sum(told.values())
    assert succeed("diff", source, tmp_path / target, "--json").json["equal"]


def test_the_report_has_exactly_the_reviewed_fields(gguf: Path, tmp_path: Path) -> None:
    report = succeed("convert", gguf, tmp_path / "out.apr", "--json").json

    assert sorted(report) == FIELDS.split()
    assert report["schema"] == 1
    assert sorted(report["tensors"][0]) == TENSOR_FIELDS.split()
    assert sorted(report["keys"][0]) == ["fate", "into", "key", "why"]
    assert sorted(report["files"][0]) == ["nbytes", "path"]


def test_the_report_accounts_for_every_tensor(gguf: Path, tmp_path: Path) -> None:
    listed = succeed("tensors", gguf, "--json").json["tensors"]

    report = succeed("convert", gguf, tmp_path / "out", "--json").json

    fates = {each["source"]: each for each in report["tensors"]}
    assert fates.keys() == {each["name"] for each in listed}
    query = fates["blk.0.attn_q.weight"]
    assert query["canonical"] == "layers.0.attn.q.weight"
    assert query["target"] == "model.layers.0.self_attn.q_proj.weight"
    assert query["steps"] == ["renamed", "rope rows of q interleaved undone"]
    assert query["encoding"] == query["stored_encoding"] == "bf16"


def test_the_report_accounts_for_every_key(folder: Path, tmp_path: Path) -> None:
    report = succeed("convert", folder, tmp_path / "out.gguf", "--json").json

    fates = {each["fate"] for each in report["keys"]}
    assert fates <= {"kept", "renamed", "transformed", "carried"}
    assert len({each["key"] for each in report["keys"]}) == len(report["keys"])


def test_the_text_says_what_was_read_and_written(gguf: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.apr"

    first, second, third, *rest = succeed("convert", gguf, target).out.splitlines()

    size = target.stat().st_size
    assert first == f"{gguf} (gguf, llama) -> {target} (apr)"
    assert second == f"  wrote {target}: {size} bytes"
    assert third.startswith("  21 tensors, 21 kept bit for bit: 21 renamed, ")
    assert rest[-1].startswith(f"  {size / 1024:.2f} KiB in ")


def test_a_copy_has_no_steps_to_tell_of(gguf: Path, tmp_path: Path) -> None:
    text = succeed("convert", gguf, tmp_path / "out.gguf").out

    assert "  21 tensors, 21 kept bit for bit\n" in text


def test_verbose_lists_every_tensor_and_key(gguf: Path, tmp_path: Path) -> None:
    lines = succeed("convert", gguf, tmp_path / "out.apr", "-v").out.splitlines()

    arrow = "output_norm.weight -> model.norm.weight [64] f32, 256 bytes: renamed"
    assert f"    {arrow}" in lines
    assert sum(" -> " in each for each in lines) == 22
    assert "    general.architecture: renamed config.identity.architecture" in lines


def test_quiet_says_nothing(gguf: Path, tmp_path: Path) -> None:
    assert succeed("convert", gguf, tmp_path / "out.apr", "-q").out == ""
    assert (tmp_path / "out.apr").is_file()


def test_quiet_does_not_hide_an_error(gguf: Path) -> None:
    assert "exists already" in refused(2, "convert", gguf, gguf, "-q")


DRY = {
    "out.gguf": [],
    "out.apr": [],
    "out": [],
    "cast.apr": ["--dtype", "f16"],
    "split": ["--shard-size", "40K"],
    "split.gguf": ["--shard-size", "40K"],
}


@pytest.mark.parametrize("name", DRY)
def test_a_dry_run_writes_nothing_and_tells_the_real_sizes(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    words = ["convert", str(gguf), str(tmp_path / name), "--json", *DRY[name]]

    told = succeed(*words, "--dry-run").json

    assert told["dry_run"]
    assert entries(tmp_path) == ["scratch"]
    assert entries(scratch) == []
    files = {each["path"]: each["nbytes"] for each in told["files"]}
    done = succeed(*words).json
    assert files == {each["path"]: each["nbytes"] for each in done["files"]}
    assert files == sizes(list(files))


def test_a_dry_run_says_that_it_would_write(gguf: Path, tmp_path: Path) -> None:
    text = succeed("convert", gguf, tmp_path / "out.apr", "--dry-run").out

    assert "  would write " in text
    assert "wrote" not in text


@pytest.mark.parametrize(
    ("option", "level"),
    [
        (["--verify"], "values"),
        (["--verify", "names"], "names"),
        (["--verify", "values"], "values"),
        (["--verify", "bytes"], "bytes"),
    ],
    ids=str,
)
def test_a_verified_output_says_at_which_level(
    gguf: Path, tmp_path: Path, option: list[str], level: str
) -> None:
    text = succeed("convert", gguf, tmp_path / "out", *option).out

    assert text.endswith(f", verified by {level}\n")


def test_an_output_that_is_not_verified_is_not_put_in_place(
    gguf: Path, tmp_path: Path
) -> None:
    words = ["--verify", "bytes", "--dtype", "f16"]

    complaint = refused(1, "convert", gguf, tmp_path / "out.apr", *words)

    assert "verification (bytes) failed" in complaint
    assert "layers.0.attn.k.weight: cast (rounded from f32 to f16)" in complaint
    assert list(tmp_path.iterdir()) == []


def test_a_cast_output_verifies_by_value(gguf: Path, tmp_path: Path) -> None:
    report = succeed(
        *("convert", gguf, tmp_path / "out.apr", "--dtype", "f16"),
        *("--verify", "values", "--json"),
    ).json

    assert report["verified"] == "values"


@pytest.mark.parametrize("words", [[], ["--verify"], ["--force"], ["-v"]], ids=str)
def test_options_that_are_not_about_the_model_change_no_byte(
    gguf: Path, tmp_path: Path, words: list[str]
) -> None:
    succeed("convert", gguf, tmp_path / "one.apr")
    succeed("convert", gguf, tmp_path / "two.apr", *words)

    assert (tmp_path / "one.apr").read_bytes() == (tmp_path / "two.apr").read_bytes()


def test_an_output_remembers_how_it_was_made(gguf: Path, tmp_path: Path) -> None:
    succeed("convert", gguf, tmp_path / "out.apr", "--dtype", "bf16")

    provenance = succeed("inspect", tmp_path / "out.apr", "--json").json["provenance"]

    last = provenance["lineage"][-1]
    assert last["operation"] == "convert"
    assert last["options"] == {"dtype": "bf16"}
    assert last["inputs"].keys() == {gguf.name}
    assert provenance["original_format"] == "gguf"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--dtype", "f8"], "'f8' is not one of 'f32', 'f16', 'bf16'"),
        (["--verify", "hope"], "'hope' is not one of 'names', 'values', 'bytes'"),
        (
            ["--shard-size", "4x"],
            "'4x' is not a size; give one such as 5G, 500M or 2GiB",
        ),
        (["--nonsense"], "No such option"),
    ],
)
def test_an_option_that_makes_no_sense_is_wrong_usage(
    gguf: Path, tmp_path: Path, words: list[str], complaint: str
) -> None:
    done = run("convert", gguf, tmp_path / "out.apr", *words)

    assert done.code == 2
    assert complaint in done.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--family", "lama"], "no family is called 'lama'; did you mean 'llama'?"),
        (["--naming", "gml"], "no naming is called 'gml'; did you mean 'ggml'?"),
        (["--to", "gguff"], "no format is called 'gguff'; did you mean 'gguf'?"),
        (["--from", "onnx"], "no format is called 'onnx' (give one of "),
        (["--shard-size", "0"], "shard_size is 0; give a positive number of bytes"),
    ],
)
def test_a_name_that_nobody_provides_is_wrong_usage(
    gguf: Path, tmp_path: Path, words: list[str], complaint: str
) -> None:
    assert complaint in refused(2, "convert", gguf, tmp_path / "out.apr", *words)
    assert list(tmp_path.iterdir()) == []
