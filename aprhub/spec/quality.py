"""Answers: what a model file says to the questions of its quality."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


@frozen
class Answers:
    """What a file says, by question, and where it says it.

    The questions are `physics` (the header is what its checksum says), `tokenizer` (it
    has one, and its header says so), the sizes and `architecture`, and the words of
    `Provenance` and `Identity`. `places` maps a question to the key, or the part of
    the file, that answers it; None is a question that the format does not have.
    """

    said: Mapping[str, Any]
    places: Mapping[str, str] = field(factory=dict)
