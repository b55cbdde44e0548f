"""The guide to plugins is true: its plugins are installed, listed and tested."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[1] / "docs" / "plugins.md"
BLOCK = re.compile(r"^```(python|toml)\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
UNNAMED = re.compile(r"^```(?:python|toml)\n(?!# \S+\.(?:py|toml)$)", re.MULTILINE)

LINES = {"acme_names.py": 13, "acme_families.py": 40, "acme_codecs.py": 25}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the project of the guide, every block a file of it."""
    folder = tmp_path_factory.mktemp("project")
    for _, name, text in BLOCK.findall(GUIDE.read_text("utf-8")):
        (folder / name).write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="module")
def site(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the project as the guide says."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet"]
    _run("-m", "pip", "install", *options, "--target", str(folder), str(project))
    return folder


def _run(*arguments: str, path: Path | None = None, cwd: Path | None = None) -> str:
    paths = [str(path or ""), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_is_a_file_with_a_name() -> None:
    assert UNNAMED.findall(GUIDE.read_text("utf-8")) == []


def test_the_smallest_plugin_is_as_short_as_promised(project: Path) -> None:
    lengths = {name: len((project / name).read_text().splitlines()) for name in LINES}

    assert all(lengths[name] <= limit for name, limit in LINES.items())


def test_every_hook_has_its_section() -> None:
    hooks = re.findall(
        r"def (provide_\w+)", (GUIDE.parents[1] / "aprhub/hookspecs.py").read_text()
    )
    headings = re.findall(
        r"^## `(provide_\w+)`", GUIDE.read_text("utf-8"), re.MULTILINE
    )

    assert headings == hooks


def test_the_installed_plugins_are_listed_as_whole(site: Path, tmp_path: Path) -> None:
    listed = _run("-m", "aprhub", "plugins", "--json", path=site, cwd=tmp_path)

    rows = json.loads(listed)["plugins"]
    found = {(row["kind"], row["name"], row["state"], row["plugin"]) for row in rows}
    assert {
        ("naming", "acme", "ok", "acme (acme-aprhub 1.0)"),
        ("format", "acme", "ok", "acme-bin (acme-aprhub 1.0)"),
        ("family", "acme", "ok", "acme-families (acme-aprhub 1.0)"),
        ("codec", "q8_k", "ok", "acme-codecs (acme-aprhub 1.0)"),
        ("packing", "acme", "ok", "acme-packings (acme-aprhub 1.0)"),
    } <= found


def test_the_plugins_pass_the_tests_of_the_guide(site: Path, project: Path) -> None:
    options = ["-q", "-W", "error", "--strict-markers", "-p", "no:cacheprovider"]

    told = _run(
        "-m", "pytest", *options, "test_acme.py", path=site, cwd=project
    ).splitlines()[-1]

    assert re.search(r"\d+ passed", told)
    assert "skipped" not in told
