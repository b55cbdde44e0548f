"""Weights files in a model folder that is valid but for them."""

from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from tests.hostile import model_folder, safetensors_file
from tests.hostile.case import Case, Expected, Writable, broken, odd
from tests.hostile.safetensors_file import SafetensorsFile

BASE: Final = safetensors_file.valid()


@frozen
class Inside:
    """A weights file in a model folder that is valid but for it."""

    weights: Writable

    def write(self, folder: Path) -> Path:
        """Write the folder, then the file over its weights."""
        target = model_folder.valid().write(folder)
        self.weights.write(target)
        return target


def broken_weights(name: str, weights: Writable, where: str = "") -> Case:
    """Return a case of a weights file that every command refuses."""
    return broken(name, Inside(weights), where)


def odd_weights(name: str, weights: Writable, why: str) -> Case:
    """Return a case of a weights file on which readers differ."""
    return odd(name, Inside(weights), why)


def legal_container(name: str, weights: Writable, why: str) -> Case:
    """Return a case that is fine as a file, whatever the model is worth."""
    accepted, either = Expected.ACCEPTED, Expected.EITHER
    return Case(name, Inside(weights).write, accepted, either, why=why)


def crowded(count: int) -> SafetensorsFile:
    """Return a file with many names for its first bytes."""
    text = BASE.text().rstrip()
    entry = b',"x%d":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}'
    more = b"".join(entry % index for index in range(count))
    return evolve(BASE, header=text[:-1] + more + b"}")
