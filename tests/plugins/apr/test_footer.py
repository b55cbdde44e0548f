from pathlib import Path

import pytest
from attrs import evolve

from aprhub.api import CorruptFileError
from aprhub_apr import APR
from tests.hostile import apr_file

FILE = apr_file.valid()


def test_a_right_footer_is_no_fault(tmp_path: Path) -> None:
    assert APR.checksum(FILE.write(tmp_path)) == ()


@pytest.mark.parametrize("place", [-20_000, -5000, -70, -1])
def test_any_changed_byte_is_seen(place: int, tmp_path: Path) -> None:
    data = bytearray(FILE.tobytes())
    data[place] ^= 0x20
    path = tmp_path / "model.apr"
    path.write_bytes(data)

    (fault,) = APR.checksum(path)

    assert f"byte {len(data) - 4}" in fault.subject


def test_a_file_without_a_footer_is_no_fault(tmp_path: Path) -> None:
    assert APR.checksum(evolve(FILE, footer=b"").write(tmp_path)) == ()


def test_bytes_after_the_footer_are_not_part_of_it(tmp_path: Path) -> None:
    assert APR.checksum(evolve(FILE, tail=b"more").write(tmp_path)) == ()


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError):
        APR.checksum(evolve(FILE, cut=100).write(tmp_path))
