"""Where `aprhub convert` may write, and what it does to what stands there."""

import shutil
from pathlib import Path

import pytest

from tests.unit.cli.program import refused, succeed


def test_an_existing_target_is_refused_and_unchanged(
    gguf: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.apr").write_text("precious")

    complaint = refused(2, "convert", gguf, tmp_path / "out.apr")

    assert "out.apr: exists already; use --force to replace it" in complaint
    assert (tmp_path / "out.apr").read_text() == "precious"


def test_force_replaces_a_file(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "out.apr").write_text("worthless")

    succeed("convert", gguf, tmp_path / "out.apr", "--force")

    succeed("diff", gguf, tmp_path / "out.apr")


def test_force_replaces_a_model_in_a_folder_and_nothing_else(
    gguf: Path, tmp_path: Path
) -> None:
    target = tmp_path / "model"
    target.mkdir()
    old = ("config.json", "model-00001-of-00002.safetensors", "chat_template.jinja")
    for name in (*old, "README.md"):
        (target / name).write_text("old")
    assert "exists already" in refused(2, "convert", gguf, target)

    succeed("convert", gguf, target, "--force")

    left = {
        each.name for each in target.iterdir() if each.read_text("latin-1") == "old"
    }
    assert left == {"README.md"}
    succeed("diff", gguf, target)


def test_a_file_can_be_converted_into_itself_by_force_only(
    gguf: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(gguf, tmp_path / "m.gguf"))
    assert "exists already" in refused(2, "convert", path, path)

    succeed("convert", path, path, "--dtype", "f16", "--force")

    encodings = succeed("inspect", path, "--json").json["encodings"]
    assert encodings["f16"]["tensors"] > encodings["f32"]["tensors"]
    assert [each.name for each in tmp_path.iterdir()] == ["m.gguf"]


def test_a_folder_can_be_converted_into_itself_by_force(
    folder: Path, tmp_path: Path
) -> None:
    path = shutil.copytree(folder, tmp_path / "m")

    succeed("convert", path, path, "--shard-size", "40K", "--force")

    assert not (path / "model.safetensors").exists()
    succeed("diff", folder, path)


def test_a_failed_conversion_into_itself_changes_nothing(
    gguf: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(gguf, tmp_path / "m.gguf"))

    words = ["--dtype", "bf16", "--verify", "bytes", "--force"]
    refused(1, "convert", path, path, *words)

    assert path.read_bytes() == gguf.read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == ["m.gguf"]


@pytest.mark.parametrize("name", ["out/", "out", "./out"])
def test_a_name_without_an_extension_is_a_folder(
    gguf: Path, tmp_path: Path, name: str
) -> None:
    succeed("convert", gguf, f"{tmp_path}/{name}")

    assert (tmp_path / "out" / "config.json").is_file()


def test_a_source_folder_may_end_with_a_slash(folder: Path, tmp_path: Path) -> None:
    succeed("convert", f"{folder}/", tmp_path / "out.gguf")

    succeed("diff", folder, tmp_path / "out.gguf")


def test_an_extension_of_another_format_is_refused(gguf: Path, tmp_path: Path) -> None:
    complaint = refused(2, "convert", gguf, tmp_path / "out.apr", "--to", "gguf")

    assert "the extension .apr belongs to apr, but gguf was to be written" in complaint
    assert list(tmp_path.iterdir()) == []


def test_an_extension_that_nobody_knows_needs_a_format(
    gguf: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.bin"
    complaint = refused(2, "convert", gguf, target)
    assert "no format has the extension '.bin'" in complaint
    assert "--to" in complaint

    succeed("convert", gguf, target, "--to", "apr")

    assert succeed("inspect", target, "--json").json["format"] == "apr"


def test_extensions_are_known_in_any_case(gguf: Path, tmp_path: Path) -> None:
    succeed("convert", gguf, tmp_path / "OUT.APR")

    assert (tmp_path / "OUT.APR").read_bytes()[:3] == b"APR"


def test_a_folder_that_does_not_exist_is_not_made(gguf: Path, tmp_path: Path) -> None:
    complaint = refused(3, "convert", gguf, tmp_path / "absent" / "out.apr")

    assert "absent: cannot write there: No such file or directory" in complaint


def test_a_source_that_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "one.gguf").touch()
    complaint = refused(3, "convert", tmp_path / "onne.gguf", tmp_path / "out.apr")

    assert f"{tmp_path / 'onne.gguf'}: there is no such file or folder" in complaint
    assert complaint.rstrip().endswith("; did you mean 'one.gguf'?")


def test_bytes_beat_the_extension_of_the_source(gguf: Path, tmp_path: Path) -> None:
    source = shutil.copy(gguf, tmp_path / "really-a-gguf.apr")

    report = succeed("convert", source, tmp_path / "out.apr", "--json").json

    assert report["source_format"] == "gguf"


def test_a_source_format_that_contradicts_the_bytes_is_a_bad_input(
    gguf: Path, tmp_path: Path
) -> None:
    complaint = refused(3, "convert", gguf, tmp_path / "out.apr", "--from", "apr")

    assert "starts with b'GGUF'" in complaint
