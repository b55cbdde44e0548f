"""What was written is opened again; what reads back as something else is refused."""

from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from aprhub.api import (
    CorruptFileError,
    Format,
    ModelConfig,
    StoredModel,
    Tensor,
)
from aprhub.check import unrunnable
from aprhub.errors import Fault, UnrunnableError
from aprhub.export.gate import reopened

PATH = Path("written.toy")
MEANT = StoredModel(
    "toy",
    Path("meant.toy"),
    {
        "a": Tensor.of(np.zeros((2, 3), np.float32)),
        "b": Tensor.of(np.zeros(4, np.float16)),
    },
    ModelConfig(hidden_size=3, num_layers=1),
)


def _toy(found: StoredModel) -> Format:
    return Format("toy", "Toy", (".toy",), open=lambda _path: found)


def test_what_reads_back_as_meant_passes_under_its_own_name() -> None:
    found = reopened(PATH, _toy(evolve(MEANT, path=PATH)), MEANT)

    assert found.path == MEANT.path
    assert list(found.tensors) == ["a", "b"]


def test_a_format_that_cannot_read_is_believed() -> None:
    assert reopened(PATH, Format("toy", "Toy", ()), MEANT) is MEANT


def test_a_file_that_its_own_reader_refuses_is_not_put_in_place() -> None:
    def refuse(path: Path) -> StoredModel:
        raise CorruptFileError(path, "bad", offset=3)

    with pytest.raises(UnrunnableError, match=r"opened again: .*at byte 3"):
        reopened(PATH, Format("toy", "Toy", (), open=refuse), MEANT)


def test_everything_that_differs_is_named_at_once() -> None:
    found = evolve(
        MEANT,
        tensors={
            "a": Tensor.of(np.zeros((3, 2), np.float32)),
            "c": MEANT.tensors["b"],
        },
        config=ModelConfig(hidden_size=3, num_layers=2),
    )

    with pytest.raises(UnrunnableError, match="not what was meant") as failure:
        reopened(PATH, _toy(found), MEANT)

    subjects = [fault.subject for fault in failure.value.faults]
    assert subjects == ["b", "c", "a", "num_layers"]


def test_a_size_that_the_format_does_not_store_is_no_fault() -> None:
    found = evolve(MEANT, config=ModelConfig())

    assert reopened(PATH, _toy(found), MEANT).config == ModelConfig()


def test_what_the_file_does_not_say_is_judged_as_it_was_meant() -> None:
    def judged(stored: StoredModel) -> list[Fault]:
        values = (stored.config.num_layers, stored.config.rotary_dim)
        return [Fault("", f"{value}", "") for value in values]

    fmt = Format("toy", "Toy", (".toy",), runnable=judged)
    meant = evolve(MEANT, config=evolve(MEANT.config, rotary_dim=4))

    def problems(config: ModelConfig) -> list[str]:
        faults = unrunnable(evolve(meant, config=config), fmt, meant)
        return [each.problem for each in faults]

    assert problems(meant.config) == ["1", "4"]
    assert problems(ModelConfig(num_layers=7, rotary_dim=2)) == ["7", "2"]
    assert problems(ModelConfig()) == ["None", "4"]


def test_another_encoding_is_a_fault() -> None:
    tensors = {**MEANT.tensors, "b": Tensor.of(np.zeros(4, np.float32))}

    with pytest.raises(UnrunnableError, match=r"is f32 \(4,\), meant f16 \(4,\)"):
        reopened(PATH, _toy(evolve(MEANT, tensors=tensors)), MEANT)
