"""A real model of an architecture that no plugin knows: all-MiniLM, of BERT's family.

Its container can be converted all the same, with `--naming keep`.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.judges import assets
from tests.unit.cli.program import refused, succeed

KNOWN = (
    "(known: gemma, gemma2, gemma3, llama, mistral, mixtral, phi3, qwen2, qwen2_moe,"
    " qwen3, qwen3_moe)"
)


@pytest.fixture(scope="module")
def minilm() -> Path:
    return assets.minilm()


@pytest.fixture(scope="module")
def kept(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the model in every format, each made from its folder."""
    folder = tmp_path_factory.mktemp("kept")
    made = {name: folder / name for name in ("m.gguf", "m.apr", "m")}
    for target in made.values():
        succeed("convert", minilm, target, "--naming", "keep")
    return made


def hashes(path: Path) -> dict[str, Any]:
    listed = succeed("tensors", path, "--hash", "--json").json["tensors"]
    return {
        each["name"]: (each["shape"], each["encoding"], each["sha256"])
        for each in listed
    }


@pytest.mark.parametrize("name", ["m.gguf", "m.apr", "m"])
def test_kept_names_keep_every_tensor_to_the_bit(
    minilm: Path, kept: dict[str, Path], name: str
) -> None:
    assert hashes(kept[name]) == hashes(minilm)


@pytest.mark.parametrize("name", ["m.gguf", "m.apr"])
def test_a_folder_comes_back_with_its_texts(
    minilm: Path, kept: dict[str, Path], tmp_path: Path, name: str
) -> None:
    succeed("convert", kept[name], tmp_path / "back", "--naming", "keep")

    for text in ("config.json", "tokenizer_config.json", "vocab.txt"):
        assert (tmp_path / "back" / text).read_bytes() == (minilm / text).read_bytes()


def test_the_report_says_that_nothing_was_checked(minilm: Path, tmp_path: Path) -> None:
    words = ["--naming", "keep", "--dry-run", "--json"]

    report = succeed("convert", minilm, tmp_path / "out.gguf", *words).json

    assert report["family"] is None
    assert report["naming"] == "keep"
    assert "names were kept: nothing was checked against a family" in report["notes"]


def test_without_kept_names_the_known_families_are_listed(
    minilm: Path, tmp_path: Path
) -> None:
    complaint = refused(1, "convert", minilm, tmp_path / "out.gguf")

    assert "'BertModel' is not a known family" in complaint
    assert KNOWN in complaint
    assert "--naming keep" in complaint
    assert list(tmp_path.iterdir()) == []


def test_a_family_that_it_is_not_is_refused_with_the_strangers(
    minilm: Path, tmp_path: Path
) -> None:
    complaint = refused(
        1, "convert", minilm, tmp_path / "out.gguf", "--family", "llama"
    )

    assert "104 of 104 tensors have no place in family llama" in complaint
    assert complaint.count("no weight of llama is called so") == 24
    assert "… and 80 more like these\n  convert with --lossy to do without" in complaint


def test_it_can_be_inspected_all_the_same(minilm: Path) -> None:
    found = succeed("inspect", minilm, "--json").json

    assert found["family"] is None
    assert found["tensors"] == 104
    assert KNOWN in found["findings"][0]


def test_its_tensors_are_listed_without_canonical_names(minilm: Path) -> None:
    listed = succeed("tensors", minilm, "--json").json["tensors"]

    assert {each["canonical"] for each in listed} == {""}


def test_it_cannot_be_compared(minilm: Path, kept: dict[str, Path]) -> None:
    complaint = refused(1, "diff", minilm, kept["m.gguf"])

    assert "not a known family" in complaint
