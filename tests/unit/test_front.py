"""The library as a host program uses it: values in, values out, nothing printed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

import aprhub
from aprhub import AprhubError, ConvertOptions, ModelIR
from aprhub.api import InputError
from aprhub.errors import (
    ModelCheckError,
    TargetExistsError,
    UnrunnableError,
    UsageError,
)
from aprhub.ir.source import FileRange
from aprhub.lineage import fingerprint
from aprhub.testing.comparison import differences
from aprhub.testing.files import contents
from aprhub.testing.models import PICOS
from tests.unit import toys


@pytest.fixture
def model() -> ModelIR:
    return PICOS["llama"].model(toys.INSTALLED)


@pytest.fixture
def source(tmp_path: Path, model: ModelIR) -> Path:
    path = tmp_path / "model.gguf"
    aprhub.save_model(model, path)
    return path


@pytest.mark.parametrize("target", ["there.apr", "there.gguf", "there"])
def test_a_conversion_there_and_back_loses_nothing(
    source: Path, tmp_path: Path, model: ModelIR, target: str
) -> None:
    aprhub.convert(source, tmp_path / target)
    aprhub.convert(tmp_path / target, tmp_path / "back.gguf")

    found = aprhub.open_model(tmp_path / "back.gguf")

    lineage = [step.operation for step in found.provenance.lineage]
    assert lineage == ["made", "convert", "convert"]
    kept = evolve(found.provenance, lineage=model.provenance.lineage)
    assert differences(model, evolve(found, provenance=kept)) == []


def test_nothing_is_printed(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    aprhub.convert(source, tmp_path / "a.apr", ConvertOptions(verify="bytes"))
    aprhub.diff(source, tmp_path / "a.apr")

    assert capfd.readouterr() == ("", "")


def test_an_opened_model_is_a_mapping_of_lazy_tensors(source: Path) -> None:
    model = aprhub.open_model(source)

    tensor = model.tensors["layers.1.ffn.down.weight"]
    assert isinstance(tensor.source, FileRange)
    assert tensor.numpy().shape == (64, 96)
    assert len(model.tensors) == len(dict(model.tensors))


def test_a_changed_model_is_written_as_changed(source: Path, tmp_path: Path) -> None:
    model = aprhub.open_model(source)
    ones = aprhub.Tensor.of(np.full(64, 1.5, np.float32))

    changed = evolve(model, tensors={**model.tensors, "norm.weight": ones})
    aprhub.save_model(changed, tmp_path / "changed.gguf")

    found = aprhub.open_model(tmp_path / "changed.gguf")
    assert np.all(found.tensors["norm.weight"].numpy() == 1.5)
    assert not aprhub.diff(source, tmp_path / "changed.gguf").is_empty


def test_an_unsound_model_in_memory_is_not_written(
    model: ModelIR, tmp_path: Path
) -> None:
    rest = {
        name: each for name, each in model.tensors.items() if "k.weight" not in name
    }

    with pytest.raises(ModelCheckError, match=r"layers\.1\.attn\.k\.weight: missing"):
        aprhub.save_model(evolve(model, tensors=rest), tmp_path / "a.gguf")

    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_stays_unless_it_is_forced(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "old.apr"
    target.write_bytes(b"precious")

    with pytest.raises(TargetExistsError):
        aprhub.convert(source, target)
    before = target.read_bytes()
    aprhub.convert(source, target, ConvertOptions(force=True))

    assert before == b"precious"
    assert target.read_bytes().startswith(b"APR")


def test_a_file_can_be_converted_onto_itself(source: Path, model: ModelIR) -> None:
    aprhub.convert(source, source, ConvertOptions(force=True, dtype="f16"))

    found = aprhub.open_model(source)
    assert found.tensors["head.weight"].encoding.name == "f16"
    assert found.tensors.keys() == model.tensors.keys()


def test_a_failing_conversion_leaves_the_folder_as_it_was(
    source: Path, tmp_path: Path
) -> None:
    data = source.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(data[: len(data) // 2])
    before = contents(tmp_path)

    with pytest.raises(InputError):
        aprhub.convert(tmp_path / "cut.gguf", tmp_path / "out.apr")

    assert contents(tmp_path) == before


def test_progress_is_announced_and_adds_up(source: Path, tmp_path: Path) -> None:
    told: list[int] = []
    totals: list[int] = []

    def announce(total: int) -> Any:
        totals.append(total)
        return told.append

    report = aprhub.convert(source, tmp_path / "a.apr", announce=announce)

    assert totals == [report.nbytes]
    assert sum(told) == report.nbytes


def test_a_model_that_would_not_run_is_written_only_when_allowed(
    model: ModelIR, tmp_path: Path
) -> None:
    dumb = evolve(model, tokenizer=None)

    with pytest.raises(UnrunnableError, match="--allow-unrunnable"):
        aprhub.save_model(dumb, tmp_path / "a.apr")
    allowed = ConvertOptions(allow_unrunnable=True)
    report = aprhub.save_model(dumb, tmp_path / "a.apr", allowed)

    assert report.unrunnable


def test_names_are_kept_when_told_to(source: Path, tmp_path: Path) -> None:
    kept = ConvertOptions(naming="keep")

    report = aprhub.convert(source, tmp_path / "a.npz.gguf", kept)

    assert report.family is None
    assert "token_embd.weight" in [fate.target for fate in report.tensors]
    assert "nothing was checked against a family" in " ".join(report.notes)


@pytest.mark.parametrize(
    "options",
    [{"dtype": "q4_0"}, {"dtype": "F32"}, {"verify": "all"}, {"shard_size": 0}],
)
def test_options_that_make_no_sense_are_refused_at_once(options: Any) -> None:
    with pytest.raises(UsageError):
        ConvertOptions(**options)


@pytest.mark.parametrize("name", aprhub.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(aprhub, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'konvert'"):
        aprhub.konvert  # noqa: B018


def test_every_error_on_purpose_is_of_one_family(tmp_path: Path) -> None:
    with pytest.raises(AprhubError):
        aprhub.open_model(tmp_path / "absent.gguf")


def test_a_fingerprint_tells_tables_apart_without_reading_weights(
    source: Path,
) -> None:
    stored = toys.INSTALLED.format("gguf").opened(source)
    less = toys.less(stored, "output.weight")

    source.unlink()

    assert fingerprint(stored) == fingerprint(stored)
    assert fingerprint(stored) != fingerprint(less)
