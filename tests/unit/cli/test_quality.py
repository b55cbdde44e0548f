"""`aprhub inspect --quality`: the same questions, asked of every format."""

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import evolve

from aprhub import ConvertOptions, save_model
from aprhub.api import Provenance
from tests.unit.cli.conftest import Models
from tests.unit.cli.program import refused, run, succeed

SUFFIXES = pytest.mark.parametrize("suffix", [".gguf", ".apr", ""])

SAID = {"SPDX": "MIT", "TEXT": "a corpus"}


@pytest.fixture
def silent(models: Models, tmp_path: Path) -> Mapping[str, Path]:
    """Return a model that says nothing of its origin, in every format."""
    model = models.pico("qwen2")
    without = evolve(model, provenance=Provenance(name="Silent"))
    paths = {suffix: tmp_path / f"silent{suffix}" for suffix in (".gguf", ".apr", "")}
    for path in paths.values():
        save_model(without, path, ConvertOptions(), registry=models.registry)
    return paths


@SUFFIXES
def test_a_model_that_says_everything_is_ready(models: Models, suffix: str) -> None:
    path = models.file("qwen2", suffix)

    found = succeed("inspect", path, "--quality", "--json", "--min-score", 100).json

    assert sorted(found) == ["format", "path", "quality", "schema"]
    assert found["quality"] == {
        "score": 100,
        "ship_ready": True,
        "threshold": 90,
        "breakdown": {
            "physics": 20,
            "structural": 20,
            "provenance": 25,
            "hf_identity": 20,
            "tokenizer": 15,
        },
        "lacks": [],
        "min_score": 100,
    }


@SUFFIXES
def test_what_is_not_said_costs_its_points_and_comes_with_its_repair(
    silent: Mapping[str, Path], suffix: str
) -> None:
    path = silent[suffix]
    before = succeed("inspect", path, "--quality", "--json").json["quality"]

    for lack in before["lacks"]:
        words = shlex.split(lack["repair"])
        assert words[:3] == ["aprhub", "stamp", str(path)]
        succeed(*(SAID.get(word, word) for word in words[1:]))

    lost = {each["question"]: each["points"] for each in before["lacks"]}
    after = succeed("inspect", path, "--quality", "--json").json["quality"]
    assert lost == {"license": 9, "data_source": 8, "data_license": 8}
    assert (before["score"], before["ship_ready"]) == (75, False)
    assert (after["score"], after["ship_ready"]) == (100, True)


def test_a_gguf_that_lacks_an_identity_is_told_which_it_has(
    models: Models, tmp_path: Path
) -> None:
    path = tmp_path / "own.gguf"
    shutil.copy(models.file("qwen2", ".gguf"), path)
    gone = ("aprhub.hf.architecture", "aprhub.hf.model_type")
    succeed("stamp", path, "--in-place", *(w for k in gone for w in ("--unset", k)))

    found = succeed("inspect", path, "--quality").out

    assert f"aprhub stamp {path} --hf-architecture Qwen2ForCausalLM --in-place" in found
    assert f"aprhub stamp {path} --hf-model-type qwen2 --in-place" in found


def test_the_exit_code_is_one_below_the_least_score(
    silent: Mapping[str, Path],
) -> None:
    path = silent[".gguf"]

    assert run("inspect", path, "--quality", "--min-score", 75).code == 0
    done = run("inspect", path, "--quality", "--min-score", 76)
    assert (done.code, done.err) == (1, "")
    assert "75 of 100 (gguf), not ready, 90 needed" in done.out


def test_a_file_that_cannot_be_read_has_no_score(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0")

    assert "cut.gguf" in refused(3, "inspect", path, "--quality")
