"""A case put before the commands, and what is said about the outcome."""

import re
from pathlib import Path
from typing import Final

from attrs import frozen

from tests.hostile import apr_cases, folder_cases, gguf_cases, safetensors_cases
from tests.hostile.case import Case, Expected
from tests.hostile.program import Outcome, run

CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
LONGEST: Final = 4000
OLD: Final = b"what stood here before"


@frozen
class Trial:
    """A case of one format, and a target of another."""

    format: str
    case: Case
    target: str

    def __str__(self) -> str:
        return f"{self.format}: {self.case}"


def _trials(format_name: str, cases: list[Case], target: str) -> list[Trial]:
    return [Trial(format_name, case, target) for case in cases]


TRIALS: Final = [
    *_trials("gguf", gguf_cases.CASES, "out.apr"),
    *_trials("apr", apr_cases.CASES, "out.gguf"),
    *_trials("safetensors", safetensors_cases.CASES, "out.gguf"),
    *_trials("folder", folder_cases.CASES, "out.apr"),
]


def complaints(outcome: Outcome, case: Case, expected: Expected) -> list[str]:
    """Return what is wrong with the outcome of a command, as sentences."""
    found = [*_disorder(outcome)]
    if expected is Expected.REFUSED and outcome.code == 0:
        found.append("was accepted")
    if expected is Expected.ACCEPTED and outcome.code != 0:
        found.append(f"was refused with {outcome.code}: {outcome.stderr}")
    if expected is Expected.REPORTED and outcome.code == 0:
        found += [] if case.where in outcome.output else [f"never says {case.where!r}"]
    if outcome.code != 0 and case.where.lower() not in outcome.stderr.lower():
        found.append(f"does not name {case.where!r}: {outcome.stderr}")
    return found


def _disorder(outcome: Outcome) -> list[str]:
    """Return what is wrong whatever was expected."""
    texts = {
        f"let {outcome.escaped!r} out": outcome.escaped is not None,
        "printed a traceback": "Traceback" in outcome.output,
        f"raised no typed error: {outcome.stderr}": _untyped(outcome.stderr),
        "printed control characters": CONTROL.search(outcome.output) is not None,
        f"printed {len(outcome.stderr)} characters": len(outcome.stderr) > LONGEST,
        "printed several paragraphs": "\n\n" in outcome.stderr.strip(),
        f"ended with {outcome.code}": outcome.code not in (0, 1, 3),
        "failed in silence": outcome.code != 0 and not outcome.stderr.strip(),
    }
    return [text for text, wrong in texts.items() if wrong]


def _untyped(message: str) -> bool:
    return "internal error" in message or "[Errno" in message


def looked_at(path: Path, case: Case) -> list[str]:
    """Return what is wrong with `inspect` and `tensors` of a path."""
    found = []
    for name in ("inspect", "tensors"):
        outcome = run(name, path)
        found += [f"{name} {path.name} {each}" for each in _looks(outcome, path, case)]
    return found


def _looks(outcome: Outcome, path: Path, case: Case) -> list[str]:
    found = complaints(outcome, case, case.inspects)
    if outcome.code == 1 and case.inspects is Expected.REFUSED:
        found.append("ended with 1 for a broken container")
    if outcome.code != 0 and not is_named(path, outcome.stderr):
        found.append(f"does not name the file: {outcome.stderr}")
    return found


def is_named(path: Path, message: str) -> bool:
    """Return whether a message names a path, or one of the files in a folder."""
    names = [each.name for each in path.iterdir()] if path.is_dir() else [path.name]
    return any(name in message for name in (str(path), *names))


def converted(path: Path, trial: Trial, folder: Path) -> list[str]:
    """Return what is wrong with `convert` of a path over a file that stands there."""
    target = folder / trial.target
    target.write_bytes(OLD)
    outcome = run("convert", path, target, "--force")
    found = complaints(outcome, trial.case, trial.case.converts)
    found += _blames(outcome, path, target)
    if outcome.code != 0 and target.read_bytes() != OLD:
        found.append("touched the file that stood there")
    if outcome.code == 0 and run("inspect", target).code != 0:
        found.append("wrote a file that it cannot read")
    found += _leavings(folder, {trial.target})
    return [f"convert {each}" for each in found]


def unpacked(path: Path, trial: Trial, folder: Path) -> list[str]:
    """Return what is wrong with `convert` of a path to a Hugging Face folder."""
    target = folder / "out"
    outcome = run("convert", path, target)
    found = complaints(outcome, trial.case, trial.case.converts)
    found += _blames(outcome, path, target)
    found += _leavings(folder, {"out"} if outcome.code == 0 else set())
    return [f"convert to a folder {each}" for each in found]


def _blames(outcome: Outcome, path: Path, target: Path) -> list[str]:
    """Return what is wrong with the files that a refusal names."""
    if outcome.code == 0:
        return []
    named = set(re.findall(rf"{re.escape(str(target.parent))}/[^\s:]+", outcome.stderr))
    found = [f"blames {name}" for name in named - {str(target)}]
    if not is_named(path, outcome.stderr) and str(target) not in named:
        found.append(f"does not name the file: {outcome.stderr}")
    return found


def _leavings(folder: Path, allowed: set[str]) -> list[str]:
    left = {each.name for each in folder.iterdir()}
    return [f"left {sorted(left)}"] if left != allowed else []
