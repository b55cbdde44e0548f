"""A whole outside plugin: built as a wheel, installed, listed, used."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import aprhub
from aprhub.registry import Registry
from aprhub.testing.models import PICOS
from tests.third_party.conftest import SOURCES
from tests.third_party.distributions import Program


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    aprhub.save_model(PICOS["llama-quantised"].model(Registry.load()), path)
    return path


def test_the_wheel_holds_the_package_and_its_entry_point(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        points = archive.read("aprhub_npz-1.0.dist-info/entry_points.txt").decode()

    assert "aprhub_npz/layout.py" in names
    assert "npz = aprhub_npz" in points
    assert not [name for name in names if "test" in name]


def test_an_installed_plugin_passes_its_own_tests(
    program: Program, site: Path, tmp_path: Path
) -> None:
    options = ["-q", "-W", "error", "--strict-markers", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, SOURCES / "tests"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=program.beside(site).environment,
    )

    assert done.returncode == 0, done.stdout


def test_an_installed_plugin_is_listed_with_its_distribution(
    program: Program, site: Path
) -> None:
    rows = program.beside(site).run("plugins", "--json").json["plugins"]

    (row,) = (each for each in rows if each["name"] == "npz")
    assert row == {
        "state": "ok",
        "kind": "format",
        "name": "npz",
        "plugin": "npz (aprhub-npz 1.0)",
    }


def test_an_outside_format_is_read_and_written_by_the_command_line(
    program: Program, site: Path, model: Path
) -> None:
    beside = program.beside(site)

    there = beside.run("convert", model, "model.npz", "--verify")
    back = beside.run("convert", "model.npz", "back.gguf", "--verify=bytes")
    compared = beside.run("diff", model, "back.gguf")

    assert (there.code, there.err) == (0, "")
    assert (back.code, back.err) == (0, "")
    assert (compared.code, compared.err) == (0, "")


def test_an_outside_format_is_recognised_by_its_bytes(
    program: Program, site: Path, model: Path, tmp_path: Path
) -> None:
    beside = program.beside(site)
    beside.run("convert", model, "model.npz")
    (tmp_path / "model.npz").rename(tmp_path / "model.gguf.bak")

    found = beside.run("inspect", "model.gguf.bak", "--json")

    assert found.json["format"] == "npz"
    assert found.json["family"] == "llama"


def test_without_the_plugin_its_files_are_not_recognised(
    program: Program, site: Path, model: Path
) -> None:
    program.beside(site).run("convert", model, "model.npz")

    read = program.run("inspect", "model.npz")
    written = program.run("convert", model, "other.npz")

    assert read.code == 3
    assert "not recognised as any of" in read.err
    assert written.code == 2
    assert "no format has the extension '.npz'" in written.err
