"""Lineage: what an output says about the operation that made it."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aprhub.errors import EnvironmentFailureError
from aprhub.ir.model import LineageStep
from aprhub.spec.format import StoredModel
from aprhub.version import VERSION


def step(
    operation: str, inputs: Iterable[StoredModel], options: Mapping[str, Any]
) -> LineageStep:
    """Return the step that an operation on its inputs adds.

    It has no date, so that the same input and options give the same bytes.
    """
    chosen = {name: value for name, value in options.items() if value}
    prints: dict[str, str] = {}
    for stored in inputs:
        name = _name(stored)
        unused = name if name not in prints else f"{name} ({len(prints)})"
        prints[unused] = fingerprint(stored)
    return LineageStep(operation, prints, chosen, {"aprhub": VERSION})


def _name(stored: StoredModel) -> str:
    """Return a file's name; other bytes than UTF-8 have no place in most metadata."""
    return os.fsencode(stored.path.name).decode(errors="backslashreplace")


def fingerprint(stored: StoredModel) -> str:
    """Return a SHA-256 over the configuration and the table of tensors.

    It tells inputs apart without reading their weights.
    """
    table = [
        [name, tensor.shape, tensor.encoding.name]
        for name, tensor in stored.tensors.items()
    ]
    described = {"config": stored.config.known(), "tensors": table}
    text = json.dumps(described, sort_keys=True, default=str)
    return "sha256-of-table:" + hashlib.sha256(text.encode()).hexdigest()


def file_fingerprint(path: Path) -> str:
    """Return a SHA-256 over the bytes of a file.

    Raises EnvironmentFailureError when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        what = f"{path}: cannot be read: {error.strerror}"
        raise EnvironmentFailureError(what) from error
