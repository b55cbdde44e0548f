"""Lineage: what an output says about the operation that made it."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from aprhub.files import reading
from aprhub.ir.model import LineageStep, ModelIR
from aprhub.spec.format import StoredModel
from aprhub.version import VERSION

TABLE: Final = "sha256-of-table:"
"""What stands before a fingerprint, so that it says what it is a hash of."""


def step(
    operation: str, inputs: Iterable[tuple[Path, str]], options: Mapping[str, Any]
) -> LineageStep:
    """Return the step that an operation on its inputs adds.

    An input is a path and a fingerprint. The step has no date, so that the same input
    and options give the same bytes.
    """
    chosen = {name: value for name, value in options.items() if value}
    prints: dict[str, str] = {}
    for path, found in inputs:
        name = input_name(path)
        unused = name if name not in prints else f"{name} ({len(prints)})"
        prints[unused] = found
    return LineageStep(operation, prints, chosen, {"aprhub": VERSION})


def input_name(path: Path) -> str:
    """Return a file's name; other bytes than UTF-8 have no place in most metadata."""
    return os.fsencode(path.name).decode(errors="backslashreplace")


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
    return TABLE + hashlib.sha256(text.encode()).hexdigest()


def model_fingerprint(model: ModelIR) -> str:
    """Return the hash of a model, for which all of its weights are read."""
    from aprhub.hashing import hashed

    return hashed(model).model


def file_fingerprint(path: Path) -> str:
    """Return a SHA-256 over the bytes of a file.

    Raises EnvironmentFailureError when it cannot be read.
    """
    with reading(path), path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
