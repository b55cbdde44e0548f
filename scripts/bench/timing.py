"""Timing: a command against `cp` of what it wrote, in pairs, and tables of them."""

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

UNCOMPILED = {"PYTHONDONTWRITEBYTECODE"}

START_UP = 0.3
"""Seconds that the bars allow for starting a process."""


@frozen
class Timing:
    """Seconds and peak memory in MiB of one process."""

    seconds: float
    memory: float


@frozen
class Turn:
    """A command and what it is compared with, one after the other.

    `durable` is `cp` with `sync`: what a command that makes its output durable is to
    be compared with. `disk` is what the disk needs to take as many bytes, from nobody.
    `floor` is what it takes to start a program like this one, and to copy the bytes.
    """

    ours: Timing
    cp: Timing
    durable: Timing | None = None
    disk: Timing | None = None
    floor: Timing | None = None


@frozen
class Row:
    """Turns of a command, as the table shows them: medians over all."""

    what: str
    output: int
    turns: Sequence[Turn]

    @property
    def ratio(self) -> float:
        """The median of command ÷ `cp`, pair by pair."""
        return statistics.median(
            each.ours.seconds / each.cp.seconds for each in self.turns
        )

    @property
    def bounded_ratio(self) -> float:
        """The same without the start-up that the bar allows."""
        return statistics.median(
            (each.ours.seconds - START_UP) / each.cp.seconds for each in self.turns
        )

    @property
    def durable_cells(self) -> list[str]:
        """The seconds of `cp` with `sync`, the ratio to them, disk and floor."""
        durable = [each.durable.seconds for each in self.turns if each.durable]
        disk = [each.disk.seconds for each in self.turns if each.disk]
        floor = [each.floor.seconds for each in self.turns if each.floor]
        if not durable or not disk or not floor:
            return ["-", "-", "-", "-"]
        turns = zip(self.turns, durable, strict=True)
        ratios = [(each.ours.seconds - START_UP) / cp for each, cp in turns]
        medians = map(statistics.median, (durable, ratios, disk, floor))
        return [f"{each:.2f}" for each in medians]

    def cells(self) -> list[str]:
        """Return the row of the table."""
        ours = statistics.median(each.ours.seconds for each in self.turns)
        cp = statistics.median(each.cp.seconds for each in self.turns)
        peak = max(each.ours.memory for each in self.turns)
        return [
            self.what,
            f"{self.output / 1e9:.2f}",
            f"{ours:.2f}",
            f"{cp:.2f}",
            f"{self.ratio:.2f}",
            f"{self.bounded_ratio:.2f}",
            *self.durable_cells,
            f"{peak:.0f}",
        ]


HEADER = [
    *("what", "GB", "s", "cp s", "ratio", "ratio less 0.3 s"),
    *("cp, sync s", "ratio less 0.3 s", "disk s", "floor s", "RSS MiB"),
]


LAUNCHER = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_maxrss / 1024, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Starts a command from a small process: a child's peak memory counts its parent's."""


def timed(command: Sequence[str | Path]) -> Timing:
    """Run a command to its end and return its time and peak memory."""
    words = [sys.executable, "-S", "-c", LAUNCHER, *map(str, command)]
    # An installed program has its modules compiled; these should be, too.
    rest = {key: os.environ[key] for key in os.environ if key not in UNCOMPILED}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=rest)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(words[4:])}\n{done.stderr}")
    seconds, memory = done.stderr.splitlines()[-1].split()
    return Timing(float(seconds), float(memory))


def settle(source: Path, nbytes: int = 3 << 30) -> None:
    """Read a source into the cache; touch and give back memory.

    A host may have taken what was freed.
    """
    files = source.rglob("*") if source.is_dir() else [source]
    subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)
    code = f"import numpy; numpy.ones({nbytes // 8}); "
    subprocess.run([sys.executable, "-c", code], check=True)
    os.sync()


_DURABLE = 'cp -r "$1" "$2" && sync -f "$2"'

# Two writers are the fastest of one to eight.
_DISK = """
fallocate -l $(($2 << 22)) "$1"
for part in 0 1; do
  dd if=/dev/zero of="$1" bs=2M count="$2" seek=$((part * $2)) \\
    oflag=direct conv=notrunc status=none &
done
wait
sync -d "$1"
"""
"""Writes so many pairs of two MiB of zeros past the cache, and nothing else."""


def paired(
    what: str, command: Sequence[str | Path], source: Path, output: Path, runs: int
) -> Row:
    """Run a command in turn with a `cp` of its output, without and with `sync`.

    And with as many bytes put on the disk by nobody.
    """
    turns = []
    copy = output.with_name(output.name + ".cp")

    def compared(*words: str | Path) -> Timing:
        settle(output)
        found = timed(words)
        remove(copy)
        return found

    for _ in range(runs):
        remove(output)
        settle(source)
        ours = timed(command)
        plain = compared("cp", "-r", output, copy)
        durable = compared("sh", "-c", _DURABLE, "sh", output, copy)
        count = str(size(output) >> 22)
        disk = compared("sh", "-c", _DISK, "sh", copy, count)
        floor = compared(sys.executable, "-m", "scripts.bench.floor", output, copy)
        turns.append(Turn(ours, plain, durable, disk, floor))
    return Row(what, size(output), turns)


def reading(what: str, command: Sequence[str | Path], source: Path, runs: int) -> Row:
    """Run a command that writes nothing and a `cp` of what it reads in turn."""
    turns = []
    copy = source.with_name(source.name + ".cp")
    for _ in range(runs):
        settle(source)
        ours = timed(command)
        settle(source)
        turns.append(Turn(ours, timed(["cp", "-r", source, copy])))
        remove(copy)
    return Row(what, size(source), turns)


def control(path: Path, runs: int) -> Row:
    """Return `cp` against `cp`."""
    turns = []
    copies = [path.with_name(f"{path.name}.cp{number}") for number in range(2)]
    for _ in range(runs):
        both = []
        for copy in copies:
            settle(path)
            both.append(timed(["cp", "-r", path, copy]))
            remove(copy)
        turns.append(Turn(*both))
    return Row("control: cp", size(path), turns)


def alternated(
    commands: Mapping[str, Sequence[str | Path]],
    sources: Sequence[Path],
    target: Path,
    runs: int,
) -> list[list[str]]:
    """Run commands that make one target in turn; return median seconds, peak MiB."""
    found: dict[str, list[Timing]] = {what: [] for what in commands}
    for _ in range(runs):
        for what, command in commands.items():
            remove(target)
            for source in sources:
                settle(source)
            found[what].append(timed(command))
    remove(target)
    return [_median(what, timings) for what, timings in found.items()]


def _median(what: str, timings: Sequence[Timing]) -> list[str]:
    seconds = statistics.median(each.seconds for each in timings)
    return [what, f"{seconds:.2f}", f"{max(each.memory for each in timings):.0f}"]


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())


def remove(path: Path) -> None:
    """Remove a file or folder that may be there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first to the right."""
    rule = ["---", *("--:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))
