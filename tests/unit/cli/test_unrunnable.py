"""A model that would not run is refused, or written by request and said so."""

from pathlib import Path

import pytest
from attrs import evolve

from aprhub import ConvertOptions, save_model
from tests.unit.cli.conftest import Models
from tests.unit.cli.program import refused, succeed


@pytest.fixture(scope="module")
def speechless(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model without a tokenizer."""
    path = tmp_path_factory.mktemp("speechless") / "m.gguf"
    model = evolve(models.pico("llama"), tokenizer=None)
    allowed = ConvertOptions(allow_unrunnable=True)
    save_model(model, path, allowed, registry=models.registry)
    return path


def test_it_is_refused_with_the_reasons_and_the_way_out(
    speechless: Path, tmp_path: Path
) -> None:
    complaint = refused(1, "convert", speechless, tmp_path / "out.apr")

    first, reason, *_ = complaint.splitlines()
    assert "would not run as APR v2" in first
    assert "nothing was written (--allow-unrunnable writes it all the same)" in first
    assert reason.startswith("  - PMAT-172: missing embedded tokenizer")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_it_too(speechless: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.apr"

    assert "would not run" in refused(1, "convert", speechless, target, "--dry-run")


def test_it_is_written_when_that_is_allowed_and_said_so(
    speechless: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.apr"

    text = succeed("convert", speechless, target, "--allow-unrunnable").out

    assert "\n  would not run: " in text
    assert target.is_file()


def test_the_reasons_are_in_the_json(speechless: Path, tmp_path: Path) -> None:
    words = ["--allow-unrunnable", "--json"]

    report = succeed("convert", speechless, tmp_path / "out.apr", *words).json

    assert report["unrunnable"]
