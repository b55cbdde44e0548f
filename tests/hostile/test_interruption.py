"""Conversions stopped in the middle, and two at once on one output."""

import filecmp
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.hostile import wide
from tests.hostile.program import run, start
from tests.hostile.trial import OLD

SECONDS: Final = 20.0
ATTEMPTS: Final = 5
MOMENTS: Final = [0.0, pytest.param(0.02, marks=pytest.mark.slow), 0.05]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes a while to convert."""
    return wide.write(tmp_path_factory.mktemp("source") / "wide.gguf")


@pytest.fixture(scope="module")
def reference(source: Path) -> Path:
    """What an undisturbed conversion writes."""
    target = source.with_name("reference.apr")
    assert run("convert", source, target, "--force").code == 0
    return target


def _names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def _begun(target: Path, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until the process writes a file in the folder; False when it is done."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        if any(set(names) - {target.name} for _, _, names in os.walk(target.parent)):
            return True
        time.sleep(0.0005)
    return False


def _caught(
    begin: "Callable[[], subprocess.Popen[bytes]]", target: Path, delay: float = 0.0
) -> "subprocess.Popen[bytes]":
    """Return a process that is held in the middle, `target` not yet replaced."""
    for _ in range(ATTEMPTS):
        process = begin()
        before = target.stat().st_ino
        if _begun(target, process):
            time.sleep(delay)
            process.send_signal(signal.SIGSTOP)
            is_replaced = target.stat().st_ino != before
            if not is_replaced and _names(target.parent) != [target.name]:
                return process
            process.send_signal(signal.SIGCONT)
        process.wait(SECONDS)
    return pytest.fail("nothing was met in the middle")


def _converting(source: Path, target: Path) -> "Callable[[], subprocess.Popen[bytes]]":
    """Return what puts an old file in place and starts a conversion onto it."""

    def begin() -> "subprocess.Popen[bytes]":
        target.write_bytes(OLD)
        return start("convert", source, target, "--force")

    return begin


def _ended(process: "subprocess.Popen[bytes]", number: signal.Signals) -> int:
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    return process.wait(SECONDS)


@pytest.mark.parametrize("delay", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_in_the_middle_leaves_the_old_file_alone(
    workplace: Path, source: Path, number: signal.Signals, delay: float
) -> None:
    target = workplace / "out.apr"

    code = _ended(_caught(_converting(source, target), target, delay), number)

    assert code != 0
    assert target.read_bytes() == OLD
    assert _names(workplace) == ["out.apr"]


@pytest.mark.parametrize("delay", MOMENTS)
def test_a_kill_in_the_middle_leaves_the_old_file_and_a_rerun_succeeds(
    workplace: Path, source: Path, reference: Path, delay: float
) -> None:
    target = workplace / "out.apr"

    code = _ended(_caught(_converting(source, target), target, delay), signal.SIGKILL)
    old = target.read_bytes()
    again = run("convert", source, target, "--force")

    assert (code, old) == (-signal.SIGKILL, OLD)
    assert again.code == 0, again.output
    assert filecmp.cmp(target, reference, shallow=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stamp_in_place_that_is_stopped_leaves_the_old_file(
    workplace: Path, source: Path, number: signal.Signals
) -> None:
    target = workplace / "own.gguf"
    words = ("stamp", target, "--in-place", "--name")

    def begin() -> "subprocess.Popen[bytes]":
        shutil.copy(source, target)
        return start(*words, "stopped")

    code = _ended(_caught(begin, target), number)
    old = filecmp.cmp(target, source, shallow=False)
    again = run(*words, "whole")

    assert code != 0
    assert old
    assert again.code == 0, again.output
    assert _names(workplace) == ["own.gguf"]


def test_two_runs_at_once_make_one_whole_file(
    workplace: Path, source: Path, reference: Path
) -> None:
    target = workplace / "out.apr"

    both = [start("convert", source, target, "--force") for _ in range(2)]
    codes = sorted(each.wait(SECONDS) for each in both)

    assert codes[0] == 0
    assert codes[1] in (0, 2, 3)
    assert filecmp.cmp(target, reference, shallow=False)
    assert _names(workplace) == ["out.apr"]


def test_of_two_runs_without_force_one_may_find_the_file_there(
    workplace: Path, source: Path
) -> None:
    reference, target = source.with_name("other.apr"), workplace / "out.apr"
    assert run("convert", source, reference).code == 0

    both = [start("convert", source, target) for _ in range(2)]
    codes = sorted(each.wait(SECONDS) for each in both)

    assert codes[0] == 0
    assert codes[1] in (0, 2, 3)
    assert filecmp.cmp(target, reference, shallow=False)
    assert _names(workplace) == ["out.apr"]


def test_a_source_that_shrinks_under_the_conversion_is_an_error(
    workplace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = wide.write(tmp_path_factory.mktemp("own") / "wide.gguf")
    target = workplace / "out.apr"

    process = _caught(_converting(own, target), target)
    os.truncate(own, 2**20)
    code = _ended(process, signal.SIGCONT)

    assert code in (1, 3)
    assert target.read_bytes() == OLD
    assert _names(workplace) == ["out.apr"]
