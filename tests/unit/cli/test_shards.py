"""`aprhub convert --shard-size`: one model in several files."""

from pathlib import Path

import click
import pytest

from aprhub.cli.writing import size
from tests.unit.cli.program import refused, succeed

LIMIT = 100_000


@pytest.mark.parametrize("name", ["out", "out.gguf"])
def test_no_shard_has_more_data_than_asked_for(
    gguf: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / name

    report = succeed("convert", gguf, target, "--shard-size", "100K", "--json").json

    paths = [Path(each["path"]) for each in report["files"]]
    weights = [each for each in paths if "-of-0000" in each.name]
    assert len(weights) == 4
    later = [each for each in weights if "-00001-of-" not in each.name]
    assert max(each.stat().st_size for each in later) < LIMIT + 4096


def test_the_shards_of_a_folder_are_one_model(gguf: Path, tmp_path: Path) -> None:
    succeed("convert", gguf, tmp_path / "out", "--shard-size", "40K")

    assert succeed("diff", gguf, tmp_path / "out", "--json").json["equal"]
    assert (tmp_path / "out" / "model.safetensors.index.json").is_file()


def test_the_shards_of_a_gguf_are_one_model_opened_by_the_first(
    gguf: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.gguf"
    report = succeed("convert", gguf, target, "--shard-size", "40K", "--json").json

    first = report["files"][-1]["path"]

    assert "-00001-of-" in first
    assert not target.exists()
    assert succeed("diff", gguf, first, "--json").json["equal"]


def test_shards_are_joined_by_a_conversion_without_a_size(
    gguf: Path, tmp_path: Path
) -> None:
    target = tmp_path / "split"
    succeed("convert", gguf, target, "--shard-size", "40K")

    succeed("convert", target, tmp_path / "joined")

    names = {each.name for each in (tmp_path / "joined").glob("*.safetensors*")}
    assert names == {"model.safetensors"}
    succeed("diff", gguf, tmp_path / "joined")


def test_a_format_of_one_file_refuses(gguf: Path, tmp_path: Path) -> None:
    words = ["--shard-size", "40K"]

    complaint = refused(1, "convert", gguf, tmp_path / "out.apr", *words)

    assert "an APR model is one file; leave --shard-size out" in complaint


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("40000", 40_000),
        ("40k", 40_000),
        ("5G", 5 * 10**9),
        ("5gb", 5 * 10**9),
        ("2GiB", 2 << 30),
        ("2gi", 2 << 30),
        ("0.5T", 5 * 10**11),
        ("4.35G", 4_350_000_000),
        (" 10M ", 10**7),
        ("1" + "0" * 400, 10**400),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_size_is_a_number_with_a_unit(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "G", "-5G", "5X", "1e9", "5.5.5G", "²", "5 G"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a size; give one such as 5G"):
        size(text)
