"""The plugin's own tests: ten lines for the suite, and numpy as the judge."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from aprhub_npz import NPZ

from aprhub.api import (
    CorruptFileError,
    Format,
    UnsupportedFileError,
)
from aprhub.testing.formats import FormatConformance
from aprhub.testing.saving import Saver


class TestNpz(FormatConformance):
    splits = False

    @pytest.fixture
    def format(self) -> Format:
        return NPZ

    @pytest.fixture
    def sample(self, tmp_path: Path) -> Path:
        path = tmp_path / "sample.npz"
        np.savez(path, np.ones(4, np.float32))
        return path

    def test_numpy_reads_what_is_written(self, saver: Saver, tmp_path: Path) -> None:
        model = saver.pico("llama-tied")

        with np.load(saver.save(model, tmp_path)) as arrays:
            found = arrays["model.embed_tokens.weight"]

        np.testing.assert_array_equal(found, model.tensors["embed.weight"].numpy())

    def test_every_checksum_in_the_archive_is_right(
        self, saver: Saver, tmp_path: Path
    ) -> None:
        path = saver.save(saver.pico("llama"), tmp_path)

        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None


def test_arrays_of_numpy_are_read_where_they_lie(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float16).reshape(2, 3)
    np.savez(tmp_path / "a.npz", values)

    tensor = NPZ.opened(tmp_path / "a.npz").tensors["arr_0"]

    assert tensor.segments() is not None
    np.testing.assert_array_equal(tensor.numpy(), values)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", np.zeros(3, np.float32))

    with pytest.raises(UnsupportedFileError, match=r"arr_0\.npy is compressed"):
        NPZ.opened(tmp_path / "a.npz")


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.array([{}], object))

    with pytest.raises(UnsupportedFileError, match=r"\|O"):
        NPZ.opened(tmp_path / "a.npz")


def test_an_array_shorter_than_its_header_says_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3, np.float32))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", (tmp_path / "a.npy").read_bytes()[:-1])

    with pytest.raises(CorruptFileError, match=r"11 bytes for f32 \(3,\)"):
        NPZ.opened(tmp_path / "a.npz")
