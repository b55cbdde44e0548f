"""What pytest itself makes of node ids: which it collects, and how they end."""

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from aprhub.errors import EnvironmentFailureError

_ALONE: Final = ("-p", "no:cacheprovider", "-q")
_Done = subprocess.CompletedProcess[str]

_DONE: Final = (0, 1)
"""Exit codes of pytest under which tests ran: all passed, or some failed."""


def collected(root: Path, nodes: Iterable[str]) -> set[str]:
    """Return the ids of all tests that pytest collects in the files of some tests."""
    files = sorted({node.partition("::")[0] for node in nodes})
    if not files:
        return set()
    done = _pytest(root, ["--collect-only", *_ALONE, *files])
    if done.returncode not in _DONE:
        raise _failed(root, done)
    return {line for line in done.stdout.splitlines() if "::" in line}


def outcomes(root: Path, nodes: Iterable[str]) -> dict[str, str]:
    """Run tests and return how each ended: passed, failed, error or skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = _pytest(root, [*_ALONE, f"--junitxml={report}", *sorted(set(nodes))])
        if done.returncode not in _DONE:
            raise _failed(root, done)
        cases = ElementTree.parse(report).iter("testcase")
        return {_name(case): _end(case) for case in cases}


def reported(node: str) -> str:
    """Return the name under which a report has a test."""
    file, *rest = node.removeprefix("./").split("::")
    module = file.removesuffix(".py").replace("/", ".")
    *groups, name = rest or [""]
    return f"{'.'.join((module, *groups))}::{name}"


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def _end(case: ElementTree.Element) -> str:
    ends = {"failure": "failed", "error": "error", "skipped": "skipped"}
    return next((ends[each.tag] for each in case if each.tag in ends), "passed")


def _pytest(root: Path, words: list[str]) -> _Done:
    if find_spec("pytest") is None:
        what = "pytest is not installed, which runs the tests: pip install pytest"
        raise EnvironmentFailureError(what)
    command = [sys.executable, "-m", "pytest", *words]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False
    )


def _failed(root: Path, done: _Done) -> EnvironmentFailureError:
    last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
    return EnvironmentFailureError(
        f"{root}: pytest ended with {done.returncode}, and not with results; run it"
        f" there to see why:\n{last}"
    )
