"""Folders with packed weights, judged by what the weights mean."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

import aprhub
from tests.end_to_end.roads import TOLERANCE, convert, stored_hashes
from tests.judges import hf
from tests.judges.compare import agreement
from tests.judges.llama import Llama
from tests.judges.packing import PACKERS, pack
from tests.judges.pico import PROMPTS, pico

FAMILY = "llama-spm"


class Pair:
    """A folder with packed weights, and one with what they mean."""

    def __init__(self, folder: Path, name: str, dtype: str = "float32") -> None:
        self.packed, self.plain = folder / "packed", folder / "plain"
        pack(pico(FAMILY, dtype), name, self.packed, self.plain)  # type: ignore[arg-type]  # a name of a dtype


def tensors_of(folder: Path) -> dict[str, Any]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping


@pytest.mark.parametrize("name", PACKERS)
def test_a_folder_has_the_weights_that_the_parts_mean(
    name: str, tmp_path: Path
) -> None:
    pair = Pair(tmp_path, name)

    report = convert(pair.packed, tmp_path / "out")

    found, expected = tensors_of(tmp_path / "out"), tensors_of(pair.plain)
    assert found.keys() == expected.keys()
    assert all((found[each] == expected[each]).all() for each in found)
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config == json.loads((pair.plain / "config.json").read_text())
    told = {each.key for each in report.keys} | {each.source for each in report.tensors}
    assert tensors_of(pair.packed).keys() <= told


@pytest.mark.parametrize("name", PACKERS)
def test_a_gguf_runs_with_the_logits_of_what_the_parts_mean(
    name: str, tmp_path: Path
) -> None:
    pair = Pair(tmp_path, name)
    ids = hf.tokenize(pair.plain, PROMPTS[0], add_special=True)

    convert(pair.packed, tmp_path / "m.gguf")

    with Llama.load(tmp_path / "m.gguf") as judge:
        found = agreement(judge.logits(ids), hf.logits(pair.plain, ids))
    assert found.within(TOLERANCE), found


@pytest.fixture(scope="module")
def rounded(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A model that computes in bf16, which its packed values are not exact in."""
    return Pair(tmp_path_factory.mktemp("bf16"), "gptq", "bfloat16")


def test_values_are_stored_in_the_float_type_of_the_model_and_it_is_said(
    rounded: Pair, tmp_path: Path
) -> None:
    report = convert(rounded.packed, tmp_path / "out")

    found, exact = tensors_of(tmp_path / "out"), tensors_of(rounded.plain)
    assert all((found[each] == exact[each].bfloat16()).all() for each in found)
    assert report.steps()["decoded from gptq 4-bit, group 16"] == 14
    assert len(report.losses) == 14


def test_rows_that_move_are_stored_in_that_type_as_well(
    rounded: Pair, tmp_path: Path
) -> None:
    report = convert(rounded.packed, tmp_path / "m.gguf")

    matrices = {each.encoding for each in report.tensors if len(each.shape) == 2}
    assert matrices == {"bf16"}


def test_a_wider_type_keeps_every_value(rounded: Pair, tmp_path: Path) -> None:
    report = convert(rounded.packed, tmp_path / "out", dtype="f32")

    found, exact = tensors_of(tmp_path / "out"), tensors_of(rounded.plain)
    assert all((found[each] == exact[each].float()).all() for each in found)
    assert report.losses == {}


def test_quantising_starts_from_the_exact_values(rounded: Pair, tmp_path: Path) -> None:
    options = {"quantize": "q8_0"}
    report = convert(rounded.packed, tmp_path / "packed.gguf", **options)
    convert(rounded.plain, tmp_path / "plain.gguf", **options)

    found, expected = (
        stored_hashes(tmp_path / f"{name}.gguf") for name in ("packed", "plain")
    )
    assert found == expected
    assert any(note.startswith("requantised: 12 tensors") for note in report.notes)


def test_with_names_kept_the_parts_stay_as_they_are(
    rounded: Pair, tmp_path: Path
) -> None:
    report = convert(rounded.packed, tmp_path / "kept", naming="keep", verify="bytes")

    config = "config.json"
    assert (tmp_path / "kept" / config).read_text() == (
        rounded.packed / config
    ).read_text()
    assert all(each.is_copied for each in report.tensors)
    assert "packed by gptq: the parts are kept as they are stored" in report.notes


def test_what_was_packed_differs_by_no_more_than_was_rounded(rounded: Pair) -> None:
    found = aprhub.diff(rounded.packed, rounded.plain)

    changed = [each for each in found.tensors if each.outcome != "equal"]
    assert {each.outcome for each in changed} == {"widened"}
    assert len(changed) == 14
