"""Lineage: what an output says about the operation that made it."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

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
    given = [*inputs]
    names = Counter(stored.path.name for stored in given)
    prints = {
        _name(stored, whole=names[stored.path.name] > 1): fingerprint(stored)
        for stored in given
    }
    return LineageStep(operation, prints, chosen, {"aprhub": VERSION})


def _name(stored: StoredModel, *, whole: bool) -> str:
    """Return a file's name, or the `whole` path where several have that name.

    Other bytes than UTF-8 have no place in most metadata.
    """
    name = stored.path if whole else stored.path.name
    return os.fsencode(name).decode(errors="backslashreplace")


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
