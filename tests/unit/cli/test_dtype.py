"""`aprhub convert --dtype`: what is cast, and what is said of values that are lost."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Models
from tests.unit.cli.program import succeed

EMBEDDING = "model.embed_tokens.weight"


def encodings(path: Path) -> set[str]:
    return set(succeed("inspect", path, "--json").json["encodings"])


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_every_float_is_cast(gguf: Path, tmp_path: Path, dtype: str) -> None:
    succeed("convert", gguf, tmp_path / "out", "--dtype", dtype)

    assert encodings(tmp_path / "out") == {dtype}


def test_a_format_keeps_what_its_programs_need_wider(
    gguf: Path, tmp_path: Path
) -> None:
    succeed("convert", gguf, tmp_path / "out.gguf", "--dtype", "f16")

    listed = succeed("tensors", tmp_path / "out.gguf", "--json").json["tensors"]
    wide = {each["canonical"] for each in listed if each["encoding"] == "f32"}
    assert "norm.weight" in wide
    assert all(name.endswith("norm.weight") for name in wide)


def test_without_it_no_encoding_changes(models: Models, tmp_path: Path) -> None:
    source = models.file("llama-quantised", ".gguf")

    succeed("convert", source, tmp_path / "out.gguf")

    assert encodings(tmp_path / "out.gguf") == encodings(source) >= {"q8_0", "q4_0"}


def test_quantised_tensors_are_decoded_and_that_is_said(
    models: Models, tmp_path: Path
) -> None:
    source = models.file("llama-quantised", ".gguf")

    report = succeed(
        "convert", source, tmp_path / "out.gguf", "--dtype", "f32", "--json"
    ).json

    assert encodings(tmp_path / "out.gguf") == {"f32"}
    steps = {each["stored_encoding"]: each["steps"] for each in report["tensors"]}
    assert steps["q8_0"][-1] == "decoded from q8_0"


def test_values_that_are_lost_are_counted(extreme: Path, tmp_path: Path) -> None:
    words = ["--dtype", "f16", "--json"]

    losses = succeed("convert", extreme, tmp_path / "out", *words).json["losses"]

    assert losses[EMBEDDING]["overflowed"] == 2
    assert losses[EMBEDDING]["flushed"] == 1
    assert losses[EMBEDDING]["rounded"] > 3


def test_values_that_are_lost_are_told_by_tensor(extreme: Path, tmp_path: Path) -> None:
    text = succeed("convert", extreme, tmp_path / "out", "--dtype", "f16").out

    told = [each for each in text.splitlines() if each.startswith("  lost in ")]
    assert len(told) == 2
    assert all(each.endswith("2 out of range, 1 to zero") for each in told)
    assert told[1].startswith(f"  lost in {EMBEDDING}: ")


def test_a_type_with_the_range_loses_no_value_to_infinity(
    extreme: Path, tmp_path: Path
) -> None:
    words = ["--dtype", "bf16", "--json"]

    losses = succeed("convert", extreme, tmp_path / "out", *words).json["losses"]

    assert {each["overflowed"] for each in losses.values()} == {0}
    assert {each["flushed"] for each in losses.values()} == {0}


def test_a_widening_loses_nothing(gguf: Path, tmp_path: Path) -> None:
    words = ["--dtype", "f32", "--json"]

    assert succeed("convert", gguf, tmp_path / "out", *words).json["losses"] == {}


def test_a_format_without_block_types_gets_the_values_and_that_is_said(
    models: Models, tmp_path: Path
) -> None:
    source = models.file("llama-quantised", ".gguf")

    text = succeed("convert", source, tmp_path / "out", "--verify").out

    assert encodings(tmp_path / "out") == {"f32", "f16"}
    assert "6 decoded from q8_0, 4 decoded from q4_0" in text
