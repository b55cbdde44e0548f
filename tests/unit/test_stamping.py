"""What the hub does not take a format's word for when it stamps."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from aprhub import Registry, StampOptions, stamp
from aprhub.api import (
    Format,
    Layout,
    LayoutFile,
    Restated,
    SamplingDefaults,
    Stamp,
    Tensor,
    TensorData,
)
from aprhub.errors import UnrunnableError, UsageError
from aprhub.registry import Provided
from aprhub.stamping.judging import same_but_origin
from aprhub.testing.files import contents
from aprhub_gguf import GGUF
from tests.unit.cli.conftest import Models

MIT = StampOptions({"license": "MIT"}, verify=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = Models(tmp_path_factory.mktemp("models"), Registry.load())
    return models.file("llama", ".gguf")


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "own.gguf"))


def with_format(fmt: Format) -> Registry:
    found = Registry.load()
    others = (each for each in found.formats if each.value.name != fmt.name)
    return evolve(found, formats=(*others, Provided(fmt, "test", "test")))


def wrongly(change: Callable[[Restated], Restated]) -> Registry:
    """Return plugins of which GGUF's changes what it says of a stamped file."""
    restate = GGUF.restate
    assert restate

    def changed(path: Path, wanted: Stamp, target: Path) -> Restated:
        return change(restate(path, wanted, target))

    return with_format(evolve(GGUF, restate=changed))


def with_segments(
    restated: Restated, change: Callable[[TensorData], list[TensorData]]
) -> Restated:
    (file,) = restated.layout.files
    segments = [
        new
        for each in file.segments
        for new in (change(each) if isinstance(each, TensorData) else [each])
    ]
    return evolve(restated, layout=Layout((LayoutFile.of(file.name, segments),)))


def refused(path: Path, registry: Registry) -> str:
    """Stamp a file, which must fail and leave it, and return the complaint."""
    before = contents(path)
    with pytest.raises(UnrunnableError) as error:
        stamp(path, MIT, registry=registry)
    assert contents(path) == before
    assert list(path.parent.iterdir()) == [path]
    return str(error.value)


def test_a_key_that_was_announced_has_to_be_there(path: Path) -> None:
    registry = wrongly(lambda r: evolve(r, keys={**r.keys, "acme.a": 1}))

    assert "acme.a: reads back as something else" in refused(path, registry)


def test_a_key_that_was_not_announced_is_noticed(path: Path) -> None:
    registry = wrongly(
        lambda r: evolve(
            r, keys={k: v for k, v in r.keys.items() if "license" not in k}
        )
    )

    assert "general.license" in refused(path, registry)


def test_tensors_of_other_bytes_are_noticed_when_they_are_verified(path: Path) -> None:
    def zeroed(data: TensorData) -> list[TensorData]:
        tensor = data.tensor
        zeros = Tensor.of(np.zeros(tensor.nbytes, np.uint8))
        return [TensorData(data.name, evolve(zeros, shape=(tensor.nbytes,)))]

    registry = wrongly(lambda r: with_segments(r, zeroed))

    assert "the tensors were" in refused(path, registry)


def test_a_file_that_cannot_be_opened_again_is_not_put_in_place(path: Path) -> None:
    registry = wrongly(lambda r: with_segments(r, lambda _data: []))

    assert "cannot be opened again" in refused(path, registry)


def test_a_format_that_cannot_be_stamped_says_so(path: Path) -> None:
    registry = with_format(evolve(GGUF, restate=None))

    with pytest.raises(UsageError, match="the plugin of gguf cannot stamp"):
        stamp(path, MIT, registry=registry)


def test_what_tokens_are_drawn_with_is_more_than_an_origin(path: Path) -> None:
    before = GGUF.opened(path)
    licensed = evolve(before, provenance=evolve(before.provenance, license="mit"))

    assert same_but_origin(before, licensed)
    assert not same_but_origin(before, evolve(before, sampling=SamplingDefaults(1.0)))


def test_a_stamp_of_fields_that_there_are_not_is_refused() -> None:
    with pytest.raises(UsageError, match="licence: no such fields"):
        StampOptions({"licence": "MIT"})
    with pytest.raises(UsageError, match="author is empty"):
        StampOptions({"author": " "})
