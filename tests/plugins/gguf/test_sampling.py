"""`general.sampling.*` as the `gguf` package writes and reads it."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from gguf import GGUFReader, GGUFValueType, GGUFWriter

from aprhub.api import SamplingDefaults
from tests.plugins.gguf.disk import opened, reopened, written
from tests.plugins.gguf.models import model

SAMPLING = SamplingDefaults(0.7, 20, 0.8, 0.05, 1.05)


def said(folder: Path, *entries: tuple[str, Any, GGUFValueType]) -> Path:
    """Write a file that says something of sampling."""
    writer = GGUFWriter(folder / "a.gguf", "llama")
    for name, value, kind in entries:
        writer.add_key_value(f"general.sampling.{name}", value, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "a.gguf"


def test_what_the_gguf_package_says_is_read(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_sampling_temp(0.7)
    writer.add_sampling_top_k(20)
    writer.add_sampling_top_p(0.8)
    writer.add_sampling_min_p(0.05)
    writer.add_sampling_penalty_repeat(1.05)
    writer.add_sampling_mirostat(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    found = opened(tmp_path / "a.gguf")

    fates = {each.key: (each.fate, each.into) for each in found.fates}
    assert found.sampling == SAMPLING
    assert fates["general.sampling.temp"] == ("renamed", "sampling.temperature")
    assert [*found.carried["gguf"]] == ["general.sampling.mirostat"]


def test_the_gguf_package_reads_what_is_written(tmp_path: Path) -> None:
    (path,) = written(evolve(model(), sampling=SAMPLING), tmp_path / "a.gguf")

    found = GGUFReader(path).fields
    top_k = found["general.sampling.top_k"]
    assert (top_k.types, top_k.contents()) == ([GGUFValueType.INT32], 20)
    for name, value in (("temp", 0.7), ("top_p", 0.8), ("penalty_repeat", 1.05)):
        field = found[f"general.sampling.{name}"]
        assert field.types == [GGUFValueType.FLOAT32]
        assert field.contents() == pytest.approx(value)


def test_nothing_is_written_of_what_nobody_said(tmp_path: Path) -> None:
    said_little = evolve(model(), sampling=SamplingDefaults(top_k=0))

    (path,) = written(said_little, tmp_path / "a.gguf")

    keys = [key for key in GGUFReader(path).fields if "sampling" in key]
    assert keys == ["general.sampling.top_k"]
    assert reopened(said_little, tmp_path).sampling == SamplingDefaults(top_k=0)


def test_a_negative_top_k_leaves_all_tokens_as_in_llama_cpp(tmp_path: Path) -> None:
    path = said(tmp_path, ("top_k", -1, GGUFValueType.INT32))

    assert opened(path).sampling == SamplingDefaults(top_k=0)


def test_what_is_no_number_stays_and_is_named(tmp_path: Path) -> None:
    path = said(
        tmp_path,
        ("temp", "warm", GGUFValueType.STRING),
        ("top_p", 0.5, GGUFValueType.FLOAT32),
    )

    found = opened(path)

    assert found.sampling == SamplingDefaults(top_p=0.5)
    assert found.carried["gguf"]["general.sampling.temp"]["value"] == "warm"
    assert any("general.sampling.temp" in note for note in found.notes)
