"""Distributions made by hand, and the program as it runs beside them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
ENTRY_POINTS = "[aprhub]\n{entry} = {module}\n"


def fake(folder: Path, name: str, source: str, entry: str) -> None:
    """Put a distribution into a folder: a module, and what an installer notes of it."""
    module = "fake_" + name.replace("-", "_")
    about = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source, "utf-8")
    (about / "METADATA").write_text(METADATA.format(name=name), "utf-8")
    text = ENTRY_POINTS.format(entry=entry, module=module)
    (about / "entry_points.txt").write_text(text, "utf-8")


@frozen
class Done:
    """What a run of the program came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output as JSON."""
        return json.loads(self.out)


@frozen
class Program:
    """`aprhub`, run in a folder, with further folders to find plugins in."""

    folder: Path
    sites: tuple[Path, ...] = ()
    disabled: str = ""

    def beside(self, *sites: Path) -> "Program":
        """Return the program with more plugins installed."""
        return evolve(self, sites=(*self.sites, *sites))

    def without(self, names: str) -> "Program":
        """Return the program with plugins disabled."""
        return evolve(self, disabled=names)

    def run(self, *arguments: str | Path) -> Done:
        """Run a command."""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "aprhub", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=self.environment,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def environment(self) -> dict[str, str]:
        """The environment, in which the plugins' folders come first."""
        paths = [*map(str, self.sites), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "APRHUB_DISABLE": self.disabled,
        }
