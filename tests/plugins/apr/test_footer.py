"""The footer: what the reader says of it, and what becomes of a file it contradicts."""

from pathlib import Path

import pytest
from attrs import evolve

import aprhub
from aprhub.api import CorruptFileError, Fault, ModelCheckError
from aprhub.export.witness import checksum_faults
from tests.hostile import apr_file
from tests.plugins.apr import disk

FILE = apr_file.valid()


def _faults(path: Path) -> list[Fault]:
    return checksum_faults(disk.opened(path).checksums)


def test_a_right_footer_is_no_fault(tmp_path: Path) -> None:
    path = FILE.write(tmp_path)

    assert disk.opened(path).checksums
    assert _faults(path) == []


@pytest.mark.parametrize("place", [-20_000, -5000, -70, -1])
def test_any_changed_byte_is_seen(place: int, tmp_path: Path) -> None:
    path = _damaged(place, tmp_path)

    (fault,) = _faults(path)

    assert f"byte {path.stat().st_size - 4}" in fault.subject


@pytest.mark.parametrize("place", [-20_000, -5000, -70, -1])
@pytest.mark.parametrize("target", ["out.gguf", "out.apr", "out.safetensors"])
def test_a_damaged_file_is_not_converted_unless_it_is_asked_for(
    place: int, target: str, tmp_path: Path
) -> None:
    path = _damaged(place, tmp_path)

    with pytest.raises(ModelCheckError, match=r"damaged; --allow-d.*\n.*footer"):
        aprhub.convert(path, tmp_path / target, aprhub.ConvertOptions(lossy=True))

    assert [each.name for each in tmp_path.iterdir()] == ["model.apr"]
    allowed = aprhub.ConvertOptions(allow_damaged=True)
    notes = aprhub.convert(path, tmp_path / target, allowed).notes
    assert any("damaged" in note and "footer" in note for note in notes)


def test_a_file_without_a_footer_is_no_fault(tmp_path: Path) -> None:
    assert disk.opened(evolve(FILE, footer=b"").write(tmp_path)).checksums == ()


def test_bytes_after_the_footer_are_not_part_of_it(tmp_path: Path) -> None:
    assert _faults(evolve(FILE, tail=b"more").write(tmp_path)) == []


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError):
        disk.opened(evolve(FILE, cut=100).write(tmp_path))


def _damaged(place: int, folder: Path) -> Path:
    data = bytearray(FILE.tobytes())
    data[place] ^= 0x20
    path = folder / "model.apr"
    path.write_bytes(data)
    return path
