"""A split model is opened whole, by any of its parts."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from aprhub.api import CorruptFileError, LayoutOptions, MissingFileError
from tests.plugins.gguf.disk import opened, written
from tests.plugins.gguf.models import model, packed
from tests.plugins.gguf.raw import I32, LLAMA, U16, U32, Entry, File, Row, entry

PARTS = LayoutOptions(shard_size=1000)


def split_entries(number: int, count: int, tensors: int) -> tuple[Entry, ...]:
    return (
        entry("split.no", U16, number),
        entry("split.count", U16, count),
        entry("split.tensors.count", I32, tensors),
    )


def part(number: int, *more: Entry, count: int = 2, total: int = 2) -> File:
    own = LLAMA if number == 0 else ()
    rows = (Row(f"t{number}".encode(), (8,), 0, 0),)
    entries = (*own, *more, *split_entries(number, count, total))
    return File(entries, rows, bytes([number]) * 32)


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Return the two parts of a sound model."""
    return [
        part(number).write(tmp_path / f"m-0000{number + 1}-of-00002.gguf")
        for number in (0, 1)
    ]


@pytest.mark.parametrize("number", [0, 1])
def test_any_part_opens_the_whole_model(two: list[Path], number: int) -> None:
    found = opened(two[number])

    assert [*found.tensors] == ["t0", "t1"]
    assert found.tensors["t1"].tobytes() == b"\1" * 32
    assert [range_.path for range_ in found.tensors["t1"].segments() or ()] == [two[1]]
    assert found.config.num_layers == 1
    assert not {key for key in found.carried.get("gguf", {}) if "split" in key}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_what_is_written_in_parts_opens_by_any(tmp_path: Path, number: int) -> None:
    source = model({f"t{each}": packed("f32", 100) for each in range(5)})
    paths = written(source, tmp_path / "a.gguf", PARTS)

    found = opened(paths[number])

    assert [*found.tensors] == [*source.tensors]
    assert found.config == source.config
    assert found.tokenizer == source.tokenizer


def test_what_the_gguf_package_splits_is_opened(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=2)
    for number in range(5):
        writer.add_tensor(f"t{number}", np.full(9, number, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    found = opened(tmp_path / "m-00002-of-00003.gguf")

    values = [tensor.numpy()[0] for tensor in found.tensors.values()]
    assert values == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_missing_part_is_named(two: list[Path]) -> None:
    two[1].unlink()

    with pytest.raises(MissingFileError, match="m-00002-of-00002"):
        opened(two[0])


def test_a_part_that_is_a_folder_is_missing(two: list[Path]) -> None:
    two[1].unlink()
    two[1].mkdir()

    with pytest.raises(MissingFileError, match="m-00002-of-00002"):
        opened(two[0])


def test_a_part_under_another_name_cannot_find_the_others(two: list[Path]) -> None:
    renamed = two[0].rename(two[0].with_name("model.gguf"))

    with pytest.raises(CorruptFileError, match="PREFIX-NNNNN-of-00002"):
        opened(renamed)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (part(1, count=3), r"split\.count: found 3, expected 2"),
        (part(1, total=3), r"split\.tensors\.count: found 3, expected 2"),
        (part(0), r"split\.no: found 0, expected 1"),
        (part(1, entry("own.key", U32, 1)), r"own\.key"),
        (part(1, entry("llama.block_count", U32, 2)), r"llama\.block_count"),
        (File(split_entries(1, 2, 2)), r"split\.tensors\.count"),
        (
            File(split_entries(1, 2, 2), (Row(b"t0", (8,), 0, 0),), bytes(32)),
            "'t0': is in m-00001",
        ),
        (
            File((entry("split.no", U32, 1),), (Row(b"t1", (8,), 0, 0),), bytes(32)),
            r"split\.count: found nothing",
        ),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    two: list[Path], file: File, expected: str
) -> None:
    file.write(two[1])

    with pytest.raises(CorruptFileError, match=expected):
        opened(two[0])


def test_a_later_part_may_repeat_what_the_first_says(two: list[Path]) -> None:
    part(1, LLAMA[0]).write(two[1])

    assert opened(two[1]).config.identity.architecture == "llama"


def test_one_part_of_one_is_a_whole_model(tmp_path: Path) -> None:
    path = part(0, count=1, total=1).write(tmp_path / "whatever.gguf")

    assert [*opened(path).tensors] == ["t0"]


def test_a_count_that_is_no_number_is_refused(tmp_path: Path) -> None:
    text = entry("split.count", 8, "two")

    with pytest.raises(CorruptFileError, match="whole number"):
        opened(File((*LLAMA, text)).write(tmp_path / "a.gguf"))
