"""`aprhub inspect`: what a file is, without reading its weights."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Models
from tests.unit.cli.program import refused, succeed

FIELDS = """
bytes carried config encodings family findings format metadata notes parameters path
provenance sampling schema tensors tokenizer
"""


@pytest.mark.parametrize(
    ("suffix", "name"), [(".gguf", "gguf"), (".apr", "apr"), ("", "safetensors")]
)
def test_a_model_is_described_alike_in_every_format(
    models: Models, suffix: str, name: str
) -> None:
    found = succeed("inspect", models.file("llama", suffix), "--json").json

    assert sorted(found) == FIELDS.split()
    assert (found["schema"], found["format"], found["family"]) == (1, name, "llama")
    assert (found["tensors"], found["parameters"]) == (21, 110_912)
    assert found["config"]["num_kv_heads"] == 2
    assert found["tokenizer"]["special_ids"]["bos"] == 265
    assert found["provenance"]["license"] == "apache-2.0"
    assert found["findings"] == []


def test_encodings_are_counted(gguf: Path) -> None:
    found = succeed("inspect", gguf, "--json").json["encodings"]

    assert found["f16"] == {"tensors": 4, "bytes": 36_864}
    assert sum(each["tensors"] for each in found.values()) == 21


def test_the_text_begins_with_what_the_file_is(gguf: Path) -> None:
    first, second, *rest = succeed("inspect", gguf).out.splitlines()

    assert first == f"{gguf}: gguf, llama"
    assert second == "21 tensors, 110,912 parameters, 325.25 KiB"
    assert {"config:", "tokenizer:", "provenance:"} <= set(rest)


def test_numbers_of_a_table_end_in_one_column(gguf: Path) -> None:
    lines = succeed("inspect", gguf).out.splitlines()

    start = lines.index("encoding  tensors  size")
    assert lines[start + 1] == "f32            11  217.25 KiB"


def test_a_file_that_is_none_is_refused_with_what_it_begins_with(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.txt").write_text("a text, no model")

    complaint = refused(3, "inspect", tmp_path / "a.txt")

    assert "not recognised as any of apr, gguf, safetensors" in complaint
    assert "16 bytes that begin with b'a text, '" in complaint


def test_a_folder_that_is_none_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text, no model")

    assert "a folder that holds a.txt" in refused(3, "inspect", tmp_path)


def test_a_format_may_be_insisted_on(gguf: Path) -> None:
    assert "starts with b'GGUF'" in refused(3, "inspect", gguf, "--from", "apr")
