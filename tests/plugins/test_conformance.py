"""The first-party formats pass the suites that outside plugins are held to.

The samples come from the hostile tests' own writers, which share no code with the
formats.
"""

from pathlib import Path

import pytest

from aprhub.api import Confidence, FileEvidence, Format
from aprhub.testing.formats import FormatConformance
from aprhub_apr import APR
from aprhub_gguf import GGUF
from aprhub_safetensors import SAFETENSORS
from tests.hostile import apr_file, gguf_file, model_folder, safetensors_file


class TestApr(FormatConformance):
    splits = False

    @pytest.fixture
    def format(self) -> Format:
        return APR

    @pytest.fixture
    def sample(self, tmp_path: Path) -> Path:
        return apr_file.valid().write(tmp_path)


class TestGguf(FormatConformance):
    @pytest.fixture
    def format(self) -> Format:
        return GGUF

    @pytest.fixture
    def sample(self, tmp_path: Path) -> Path:
        return gguf_file.valid().write(tmp_path)


class TestSafetensors(FormatConformance):
    @pytest.fixture
    def format(self) -> Format:
        return SAFETENSORS

    @pytest.fixture
    def sample(self, tmp_path: Path) -> Path:
        return model_folder.sharded().write(tmp_path)


def test_a_single_safetensors_file_is_recognised_by_its_structure(
    tmp_path: Path,
) -> None:
    path = safetensors_file.valid().write(tmp_path).rename(tmp_path / "any.name")

    found = SAFETENSORS.confidence(FileEvidence.of(path))

    assert found is Confidence.STRUCTURE
