"""Puts known defects into a copy of the sources and expects their tests to fail.

The table is tests/mutants.toml. A mutant that its test does not notice, or that no
longer fits the sources, fails the run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests" / "mutants.toml"
COPIED = ("aprhub", "plugins", "tests", "pyproject.toml")
FAILED = 1
"""The exit code of pytest when tests ran and some failed."""


@dataclass(frozen=True)
class Mutant:
    """One defect: what replaces which text of which file, and the test that notices."""

    name: str
    file: str
    old: str
    new: str
    test: str

    def planted(self, tree: Path) -> bool:
        """Put the defect into a copy of the tree; return whether its place is there."""
        path = tree / self.file
        text = path.read_text("utf-8")
        if text.count(self.old) != 1:
            return False
        path.write_text(text.replace(self.old, self.new.lstrip("\n")), "utf-8")
        return True


def mutants(wanted: str) -> Iterator[Mutant]:
    """Yield the mutants whose name has a text in it."""
    table = tomllib.loads(TABLE.read_text("utf-8"))
    for values in table["mutant"]:
        if wanted in values["name"]:
            yield Mutant(**values)


def verdict(mutant: Mutant) -> str:
    """Return `killed`, or what is wrong: nobody noticed, or the table is stale."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, tree / name)
        if not mutant.planted(tree):
            return f"stale: {mutant.file} does not have the text exactly once"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", mutant.test],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{folder}/plugins"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == FAILED:
        return "killed"
    if done.returncode == 0:
        return "SURVIVED"
    return f"broken: pytest ended with {done.returncode}\n{done.stdout}{done.stderr}"


def main() -> None:
    """Try each mutant, and fail unless all are killed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("name", nargs="?", default="", help="only such names")
    verdicts = []
    for mutant in mutants(options.parse_args().name):
        verdicts.append(verdict(mutant))
        print(f"{verdicts[-1]}: {mutant.name}", flush=True)
    if set(verdicts) != {"killed"}:
        sys.exit(1)


if __name__ == "__main__":
    main()
