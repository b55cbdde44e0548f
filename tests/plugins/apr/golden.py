"""The files that the reference implementation wrote, and its verdicts on them."""

import json
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

ROOT = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("APRHUB_GOLDEN", ROOT.parent / "shared/golden/apr"))
WHY = f"no golden files in {FOLDER} (set APRHUB_GOLDEN)"

Verdict = Mapping[str, Any]


@cache
def verdicts() -> tuple[Verdict, ...]:
    """Return the manifest's entry of each file."""
    manifest = FOLDER / "manifest.json"
    if not manifest.is_file():
        return ()
    return tuple(json.loads(manifest.read_text())["files"])


def verdict(name: str) -> Verdict:
    """Return the entry of one file; skip the test where there are no golden files."""
    if not verdicts():
        pytest.skip(WHY)
    found = {each["file"]: each for each in verdicts()}
    return found[name]


def path(name: str) -> Path:
    """Return where a golden file is, or skip the test."""
    if not verdicts():
        pytest.skip(WHY)
    return FOLDER / name


def cases(wanted: Callable[[Verdict], bool]) -> list[ParameterSet]:
    """Return the entries that are wanted as parameters.

    Where there are no golden files, the one parameter is skipped and says so.
    """
    if not verdicts():
        return [pytest.param({}, marks=pytest.mark.skip(WHY), id="absent")]
    found = [pytest.param(each, id=each["file"]) for each in verdicts() if wanted(each)]
    if not found:
        raise LookupError(f"no entry of {FOLDER}/manifest.json is wanted")
    return found
