"""A report says everything, in JSON of a known schema, too."""

import json
from pathlib import Path

import pytest

import aprhub
from aprhub import ConvertOptions, Report
from aprhub.testing.models import PICOS
from tests.unit import toys

KEYS = {
    "schema": int,
    "source": str,
    "target": str,
    "source_format": str,
    "target_format": str,
    "family": str,
    "naming": str,
    "tensors": list,
    "keys": list,
    "files": list,
    "notes": list,
    "losses": dict,
    "unrunnable": list,
    "verified": str,
    "dry_run": bool,
    "seconds": float,
    "inputs": list,
    "nbytes": int,
}

TENSOR = {
    "source": str,
    "canonical": str,
    "target": str,
    "shape": list,
    "encoding": str,
    "stored_encoding": str,
    "nbytes": int,
    "steps": list,
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    aprhub.save_model(PICOS["llama-tied"].model(toys.INSTALLED), path)
    return path


@pytest.fixture
def report(source: Path, tmp_path: Path) -> Report:
    options = ConvertOptions(dtype="bf16", verify="values")
    return aprhub.convert(source, tmp_path / "model.apr", options)


def test_the_json_of_a_report_has_the_fields_of_its_schema(report: Report) -> None:
    found = json.loads(json.dumps(report.as_json()))

    assert {key: type(value) for key, value in found.items()} == KEYS
    assert found["schema"] == 1
    for tensor in found["tensors"]:
        assert {key: type(value) for key, value in tensor.items()} == TENSOR
    assert set(found["files"][0]) == {"path", "nbytes"}
    assert set(found["keys"][0]) == {"key", "fate", "into", "why"}
    loss = next(iter(found["losses"].values()))
    assert set(loss) == {"overflowed", "flushed", "rounded"}


def test_every_tensor_of_both_files_is_accounted_for(
    report: Report, source: Path
) -> None:
    before = toys.INSTALLED.format("gguf").opened(source)
    after = toys.INSTALLED.format("apr").opened(report.target)

    sources = {fate.source for fate in report.tensors} - {""}
    targets = {fate.target for fate in report.tensors} - {""}
    assert sources == set(before.tensors)
    assert targets == set(after.tensors)


def test_every_key_of_the_source_is_accounted_for(report: Report, source: Path) -> None:
    before = toys.INSTALLED.format("gguf").opened(source)

    assert [key.key for key in report.keys] == [fate.key for fate in before.fates]
    fates = {key.fate for key in report.keys}
    assert fates <= {"kept", "renamed", "transformed", "carried", "dropped"}


def test_sizes_in_a_report_are_those_of_the_files(report: Report) -> None:
    assert report.nbytes == sum(Path(each.path).stat().st_size for each in report.files)


def test_a_cast_is_a_step_and_its_losses_are_told(report: Report) -> None:
    assert report.steps()["cast to bf16"] > 0
    assert all(loss.rounded for loss in report.losses.values())
    assert report.losses


def test_a_tensor_that_was_made_here_says_so(report: Report) -> None:
    (head,) = (fate for fate in report.tensors if fate.canonical == "head.weight")

    assert head.source == ""
    assert "made" in head.steps
    assert not head.is_copied


def test_a_conversion_that_changes_nothing_copies(tmp_path: Path) -> None:
    model = PICOS["llama-quantised"].model(toys.INSTALLED)
    aprhub.save_model(model, tmp_path / "model.gguf")

    found = aprhub.convert(tmp_path / "model.gguf", tmp_path / "copy.gguf")

    assert all(fate.is_copied and fate.steps == () for fate in found.tensors)
    assert found.losses == {}
    assert found.verified is None
