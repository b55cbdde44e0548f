"""Folders with packed weights, judged by what the weights mean."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from tests.end_to_end.roads import TOLERANCE, convert
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
