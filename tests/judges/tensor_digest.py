"""One number for the names, encodings and bytes of all tensors of a GGUF file."""

import hashlib
from pathlib import Path

from gguf import GGMLQuantizationType

from tests.judges import gguf_c


def digest(path: Path) -> str:
    """Return a SHA-256 over the tensors by name, where llama.cpp's reader sees them."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        for tensor in sorted(gguf_c.tensors(path), key=lambda each: each.name):
            kind = GGMLQuantizationType(tensor.type_id).name.lower()
            file.seek(tensor.offset)
            found.update(f"{tensor.name}\0{kind}\0".encode() + file.read(tensor.size))
    return found.hexdigest()[:32]
