"""Gemma 3 270M is quantised to the tensors that llama.cpp's own quantiser makes."""

from pathlib import Path

import pytest

import aprhub
from tests.end_to_end import quantised
from tests.end_to_end.quantised import Sources
from tests.judges.tensor_digest import digest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(tmp_path_factory.mktemp("gemma"))


@pytest.mark.parametrize(("model", "case"), quantised.cases("gemma3"))
def test_types_and_bytes_are_those_of_llama_cpp(
    model: str, case: str, sources: Sources, tmp_path: Path
) -> None:
    source, options = sources.of(model), sources.options(model, case)

    aprhub.convert(source, tmp_path / "q.gguf", options)

    assert digest(tmp_path / "q.gguf") == quantised.RECORDED[model][case]
