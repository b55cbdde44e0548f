"""The wheel: what is in it, and that it works where there is no checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from aprhub import Registry, save_model
from aprhub.testing.models import PICOS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGES = sorted(
    folder.parent.name
    for base in (ROOT, ROOT / "plugins")
    for folder in base.glob("aprhub*/__init__.py")
)

# One worker builds and installs, and runs all tests that need it.


def _succeed(
    command: Sequence[str | Path], folder: Path, env: dict[str, str] | None = None
) -> str:
    """Run a command that must succeed, and return what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    _succeed([*build, "--outdir", folder, ROOT], folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """Return the names of all files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@frozen
class Installed:
    """A virtual environment with the wheel, and a folder to work in."""

    scripts: Path
    folder: Path

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run one of the environment's programs; it must succeed."""
        # Nothing leads to the checkout but what the installation itself has.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        return _succeed([self.scripts / program, *arguments], self.folder, clean)

    def aprhub(self, *arguments: str | Path) -> Any:
        """Run the program and return its JSON."""
        return json.loads(self.run("aprhub", *arguments, "--json"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel into a new environment, with the dependencies of this one.

    A path in a `.pth` file is searched, but the `.pth` files that lie there are not
    read: so the dependencies are found and an editable installation is not.
    """
    home = tmp_path_factory.mktemp("environment")
    _succeed([sys.executable, "-m", "venv", "--without-pip", home], home)
    paths = sysconfig.get_paths("venv", {"base": str(home), "platbase": str(home)})
    lenders = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (Path(paths["purelib"]) / "dependencies.pth").write_text("\n".join(lenders))
    scripts = Path(paths["scripts"])
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "install"]
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    _succeed([*pip, *options, wheel], home)
    return Installed(scripts, tmp_path_factory.mktemp("elsewhere"))


def test_the_wheel_has_every_package_and_nothing_else(names: list[str]) -> None:
    about = f"aprhub-{PROJECT['version']}.dist-info"

    assert sorted({name.split("/")[0] for name in names}) == sorted([*PACKAGES, about])
    assert f"{about}/licenses/LICENSE" in names


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_in_the_wheel_is_marked_as_typed(
    names: list[str], package: str
) -> None:
    assert f"{package}/py.typed" in names


def test_the_wheel_has_the_table_of_every_family(names: list[str]) -> None:
    folder = "aprhub_families/tables"
    tables = (ROOT / "plugins" / folder).glob("*.toml")

    found = {name for name in names if name.startswith(f"{folder}/")}
    assert found == {f"{folder}/{table.name}" for table in tables}
    assert len(found) >= 5


def test_the_wheel_has_every_contract_and_every_explanation(names: list[str]) -> None:
    contracts = (ROOT / "contracts").glob("*.yaml")
    pages = (ROOT / "aprhub" / "explanations").glob("*.md")

    shipped = {f"aprhub/contracts/shipped/{each.name}" for each in contracts}
    shipped |= {f"aprhub/explanations/{each.name}" for each in pages}
    assert len(shipped) > 60
    assert set(names) >= shipped


def test_the_installed_package_is_not_the_checkout(installed: Installed) -> None:
    code = "import json, sys, aprhub; print(json.dumps([aprhub.__file__, *sys.path]))"

    home, *paths = map(Path, json.loads(installed.run("python", "-P", "-c", code)))

    assert home.is_relative_to(installed.scripts.parent)
    assert not {ROOT, ROOT / "plugins"} & {path.resolve() for path in paths}


def test_the_installed_program_says_its_version(installed: Installed) -> None:
    assert installed.run("aprhub", "--version").split()[-1] == PROJECT["version"]


def test_every_plugin_is_found_where_the_wheel_is_installed(
    installed: Installed,
) -> None:
    rows = installed.aprhub("plugins")["plugins"]

    assert {row["state"] for row in rows} == {"ok"}
    providers = {row["plugin"].split()[0] for row in rows}
    assert providers == PROJECT["entry-points"]["aprhub"].keys()
    families = {row["name"] for row in rows if row["kind"] == "family"}
    assert len(families) == len(list((ROOT / "plugins").rglob("tables/*.toml")))


def test_the_installed_program_converts_a_model(installed: Installed) -> None:
    registry = Registry.load()
    source = installed.folder / "pico.gguf"
    save_model(PICOS["llama"].model(registry), source, registry=registry)

    report = installed.aprhub("convert", source, "pico.apr", "--verify")

    assert report["verified"] == "values"
    assert (installed.folder / "pico.apr").stat().st_size == report["nbytes"]
    assert installed.aprhub("diff", source, "pico.apr")["equal"]
    contract = ("--contract", "merge-runnable")
    assert installed.aprhub("check", "pico.apr", *contract)["holds"]
