"""A resumable output that was interrupted goes on where it stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import aprhub
from aprhub import ConvertOptions
from aprhub.api import (
    ENCODINGS,
    ComputedRows,
    Layout,
    LayoutFile,
    Literal,
    Tensor,
    TensorData,
    packed,
)
from aprhub.errors import UsageError
from aprhub.export import commit, journal
from aprhub.export.staging import SUFFIX, staged
from tests.judges import deep
from tests.unit.export import layouts


class _InterruptedError(BaseException):
    pass


def interrupting(after: int) -> Callable[[int], commit.Progress]:
    """Return what announces bytes and interrupts once so many pieces are written."""
    calls = 0

    def advance(_count: int) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise _InterruptedError

    return lambda _total: advance


def options(**changed: Any) -> ConvertOptions:
    asked: dict[str, Any] = {"quantize": "q4_k_m", "resume": True, "workers": 1}
    return ConvertOptions(**asked | changed)


def left_in(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if each.name.endswith(SUFFIX)]


def interrupt(target: Path, after: int = 40) -> None:
    with pytest.raises(_InterruptedError):
        aprhub.convert(
            deep.deep("grouped"), target, options(), announce=interrupting(after)
        )
    assert not target.exists()


@pytest.mark.parametrize("suffix", [".gguf", ".apr"])
def test_an_interrupted_output_goes_on_to_the_same_bytes(
    suffix: str, tmp_path: Path
) -> None:
    target, whole = tmp_path / f"m{suffix}", tmp_path / f"whole{suffix}"
    interrupt(target)
    assert len(left_in(tmp_path)) == 1

    report = aprhub.convert(deep.deep("grouped"), target, options())

    said = next(note for note in report.notes if note.startswith("resumed: "))
    assert 40 <= int(said.split()[1]) < 60
    assert left_in(tmp_path) == []
    aprhub.convert(deep.deep("grouped"), whole, options(resume=False))
    assert target.read_bytes() == whole.read_bytes()


def test_without_it_nothing_is_left_and_what_was_left_is_removed(
    tmp_path: Path,
) -> None:
    interrupt(tmp_path / "m.gguf")

    report = aprhub.convert(
        deep.deep("grouped"), tmp_path / "m.gguf", options(resume=False)
    )

    assert left_in(tmp_path) == []
    assert not any(note.startswith("resumed") for note in report.notes)


def test_other_options_do_not_go_on_from_there(tmp_path: Path) -> None:
    interrupt(tmp_path / "m.gguf")

    report = aprhub.convert(
        deep.deep("grouped"), tmp_path / "m.gguf", options(quantize="q5_k_m")
    )

    assert left_in(tmp_path) == []
    assert not any(note.startswith("resumed") for note in report.notes)


def test_a_source_that_was_changed_is_read_anew(tmp_path: Path) -> None:
    source, target = tmp_path / "source.gguf", tmp_path / "m.gguf"
    aprhub.convert(deep.deep("grouped"), source)
    with pytest.raises(_InterruptedError):
        aprhub.convert(source, target, options(), announce=interrupting(40))
    os.utime(source, ns=(1, 1))

    report = aprhub.convert(source, target, options())

    assert not any(note.startswith("resumed") for note in report.notes)


def test_texts_that_were_not_there_yet_do_not_begin_it_anew(tmp_path: Path) -> None:
    weights = layouts.file_of(layouts.tensor_data(b"values"), name="weights")
    text = LayoutFile("text", (Literal(lambda: b"text"),))
    layout = Layout((weights, text), folder=True)
    with staged(tmp_path / "m", is_folder=True) as staging:
        with commit.Writing(layout, staging, resumable=True) as first:
            first.fill()
            first.settle()
        with commit.Writing(layout, staging, resumable=True) as second:
            second.fill()
            second.outline()
            second.settle()
            resumed = second.resumed

        assert resumed == 1
        assert staging.path("weights").read_bytes() == b"values"
        assert staging.path("text").read_bytes() == b"text"


@pytest.mark.parametrize("damage", ["remove", "shorten"])
def test_an_unfinished_file_that_is_not_whole_is_begun_anew(
    damage: str, tmp_path: Path
) -> None:
    target = tmp_path / "m.gguf"
    interrupt(target)
    (partial,) = left_in(tmp_path)
    if damage == "remove":
        (partial / "m.gguf").unlink()
    else:
        os.truncate(partial / "m.gguf", 1000)

    report = aprhub.convert(deep.deep("grouped"), target, options())

    assert not any(note.startswith("resumed") for note in report.notes)
    assert aprhub.diff(deep.deep("grouped"), target).tensors


def test_a_torn_last_line_is_no_entry(tmp_path: Path) -> None:
    target = tmp_path / "m.gguf"
    interrupt(target)
    (partial,) = left_in(tmp_path)
    with (partial / journal.NAME).open("a") as file:
        file.write("[[0, 99")

    report = aprhub.convert(deep.deep("grouped"), target, options(verify="values"))

    assert report.verified == "values"
    assert any(note.startswith("resumed: ") for note in report.notes)


def test_what_the_model_is_to_blame_for_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(aprhub.AprhubError):
        aprhub.convert(
            deep.deep("odd"),
            tmp_path / "m.gguf",
            options(tensor_types=("*=iq2_xxs",)),
        )

    assert left_in(tmp_path) == []


def _has_noted(folder: Path) -> bool:
    noted = folder / journal.NAME
    return noted.exists() and noted.read_text("utf-8").endswith("\n")


def test_a_killed_process_leaves_what_the_next_one_goes_on_from(
    tmp_path: Path,
) -> None:
    target = tmp_path / "m.gguf"
    program = (
        "import sys, time, aprhub\n"
        "from aprhub.export import journal\n"
        "journal.INTERVAL = 0\n"
        "options = aprhub.ConvertOptions(quantize='q4_k_m', resume=True, workers=1)\n"
        "slow = lambda _total: lambda _count: time.sleep(0.05)\n"
        "aprhub.convert(sys.argv[1], sys.argv[2], options, announce=slow)\n"
    )
    words = [sys.executable, "-c", program, str(deep.deep("grouped")), str(target)]
    process = subprocess.Popen(words)
    while not any(map(_has_noted, left_in(tmp_path))):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()

    report = aprhub.convert(deep.deep("grouped"), target, options(verify="values"))

    assert any(note.startswith("resumed: ") for note in report.notes)
    assert left_in(tmp_path) == []


def test_a_dry_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(aprhub.AprhubError, match="writes nothing"):
        options(dry_run=True)


def test_what_comes_from_nowhere_known_cannot_be_resumed() -> None:
    def compute(start: int, stop: int) -> NDArray[np.float32]:
        return np.zeros((stop - start, 4), np.float32)

    tensor = Tensor((2, 4), ENCODINGS["f32"], ComputedRows(2, 4, compute))
    layout = Layout((LayoutFile("m.bin", (TensorData("a", tensor),)),))

    with pytest.raises(UsageError, match="cannot be resumed"):
        journal.plan_key(layout, {})


def test_the_parts_of_a_packed_weight_are_inputs(tmp_path: Path) -> None:
    def compute(start: int, stop: int) -> NDArray[np.float32]:
        return np.zeros((stop - start, 4), np.float32)

    file = tmp_path / "codes.bin"
    file.write_bytes(bytes(8))
    codes = Tensor.at(file, 0, (2, 4), ENCODINGS["i8"])
    tensor = packed("toy", {"codes": codes}, ComputedRows(2, 4, compute)).decoded()
    layout = Layout((LayoutFile("m.bin", (TensorData("a", tensor),)),))
    before = journal.plan_key(layout, {})

    os.utime(file, ns=(1, 1))

    assert journal.plan_key(layout, {}) != before
