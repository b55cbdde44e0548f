"""Which checkpoints stay."""

from pathlib import Path

import pytest

from aprhub import ModelIR
from aprhub.api import LineageStep, ModelConfig
from aprhub.pretraining.checkpoints import Checkpoints
from aprhub.pretraining.products import WholeModel
from tests.unit import toys


def checkpoints(folder: Path, keep: int, format: str = "apr") -> Checkpoints:
    product = WholeModel(ModelIR(ModelConfig(), {}), format, toys.INSTALLED)
    return Checkpoints(folder, keep, product, LineageStep("pretrain", {}))


@pytest.mark.parametrize("format", ["apr", "hf"])
def test_the_last_checkpoints_stay_and_the_best(format: str, tmp_path: Path) -> None:
    found = checkpoints(tmp_path, 2, format)
    for number in (10, 20, 30, 999_990, 1_000_000):
        path = found.path(number)
        path.mkdir() if format == "hf" else path.touch()
    (tmp_path / "notes.txt").touch()

    found.forget(best=20)

    left = {tmp_path / "notes.txt", *map(found.path, (20, 999_990, 1_000_000))}
    assert set(tmp_path.iterdir()) == left
