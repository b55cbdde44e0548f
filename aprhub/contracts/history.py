"""What a contract says of its changes, held against the history that git has of it."""

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from aprhub.contracts import findings
from aprhub.contracts.contract import Contract, members, text
from aprhub.contracts.findings import Finding
from aprhub.errors import EnvironmentFailureError, UsageError
from aprhub.yaml_document import Entry, parsed_yaml


def unrecorded(contracts: Iterable[Contract], revision: str) -> Iterator[Finding]:
    """Find contracts that changed since a revision without a new version and a word.

    Raises EnvironmentFailureError where git cannot tell.
    """
    for contract in contracts:
        before = _before(contract.path, revision)
        if before is not None and before != contract.path.read_text("utf-8"):
            yield from _changed(contract, before, revision)


def _changed(contract: Contract, before: str, revision: str) -> Iterator[Finding]:
    top = contract.root.mapping()["metadata"]
    version = text(contract.metadata, "version")
    if _version(before, contract.path) == version:
        what = f"changed since {revision}, and is still version {version}"
        repair = "write a higher version, and a word on the change in changelog"
        yield Finding.at(top, findings.UNVERSIONED, what, repair)
    elif version not in _recorded(contract):
        what = f"changelog does not tell of version {version}"
        repair = "add a version, a date and a change"
        yield Finding.at(top, findings.UNRECORDED, what, repair)


def _version(said: str, path: Path) -> str:
    """Return the version that the text of a contract gives, empty for none."""
    try:
        head = parsed_yaml(said, path, "contract").mapping().get("metadata")
    except UsageError:  # What was no contract had no version.
        return ""
    return text(head.mapping(), "version") if head else ""


def _recorded(contract: Contract) -> Iterator[str]:
    """Yield the versions of which there is a date and a reason, in either style."""
    for entry in members(contract.metadata.get("changelog")):
        if isinstance(entry.value, Mapping):
            keys = entry.mapping()
            if text(keys, "date") and text(keys, "change", "reason", "description"):
                yield text(keys, "version")
        else:
            yield _first_word(entry)


def _first_word(entry: Entry) -> str:
    """Return the version with which an entry of one line, such as "1.2 (…)", begins."""
    return entry.text().partition(" ")[0].rstrip(":").removeprefix("v")


def _before(path: Path, revision: str) -> str | None:
    """Return what a file was in a revision, or None where it was not there."""
    _git(path.parent, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    there = _git(path.parent, "ls-tree", "--name-only", revision, path.name)
    if not there:
        return None
    return _git(path.parent, "show", f"{revision}:./{path.name}")


def _git(folder: Path, *words: str) -> str:
    command = ["git", *words]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise EnvironmentFailureError(
            f"git cannot be run ({error.strerror}), which knows what changed; install"
            " it, or leave --since out"
        ) from error
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0] or "no such revision"
        raise EnvironmentFailureError(
            f"{folder}: 'git {' '.join(words)}' failed: {said}; give --since a"
            " revision of its repository"
        )
    return done.stdout
