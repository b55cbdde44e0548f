"""What the tests fetch is what was pinned, and is made once."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.judges import assets, cache, spm
from tests.judges.archives import verified
from tests.judges.corpus import STRINGS
from tests.judges.errors import JudgeError


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APRHUB_TEST_CACHE", str(tmp_path))
    return tmp_path


def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.whl"
    path.write_bytes(b"something else")
    with pytest.raises(JudgeError, match=f"{'0' * 64} is pinned"):
        verified(path, "0" * 64)


def test_the_joined_model_is_the_one_that_its_package_promises() -> None:
    with assets.gemma3().open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    assert found == "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


@pytest.mark.parametrize("name", ["gemma3", "llama3_1", "mistral", "qwen3"])
def test_a_tokenizer_comes_with_its_configuration(name: str) -> None:
    files = {path.name for path in assets.tokenizer(name).iterdir()}
    assert files == {"tokenizer.json", "tokenizer_config.json"}


def test_the_converter_comes_with_its_vocabularies() -> None:
    assert (assets.llama_cpp() / "convert_hf_to_gguf.py").is_file()
    assert {"llama-bpe", "llama-spm", "qwen2"} <= assets.vocabularies().keys()


def test_an_encoder_is_there_as_a_folder() -> None:
    assert (assets.minilm() / "model.safetensors").is_file()


@pytest.fixture
def counted(own_cache: Path) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with (own_cache / "calls").open("a") as calls:
            calls.write("x")
        (folder / "done").touch()

    return make


def test_many_who_ask_at_once_get_one_folder_made_once(
    counted: Callable[[Path], None], own_cache: Path
) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: cache.made("thing", counted), range(32)))
    assert folders == {own_cache / "thing"}
    assert (own_cache / "calls").read_text() == "x"


def test_a_failed_attempt_leaves_nothing_behind(own_cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise JudgeError("no network")

    with pytest.raises(JudgeError, match="no network"):
        cache.made("thing", fail)
    assert [path for path in own_cache.iterdir() if path.is_dir()] == []


def test_the_trained_tokenizer_is_the_same_everywhere() -> None:
    found = hashlib.sha256(spm.trained().encode()).hexdigest()
    assert found == "cd7ba7941460b5a9d6f771ad07bb621e9f418ad6fbbf136ca22b3a712bf4a7f9"


def test_the_hard_strings_are_many_and_all_different() -> None:
    assert len(set(STRINGS)) == len(STRINGS) >= 200
