"""One number for the names, encodings and bytes of all tensors of a GGUF file."""

import hashlib
from pathlib import Path

import gguf


def digest(path: Path) -> str:
    """Return a SHA-256 over the tensors by name, as the `gguf` package reads them."""
    found = hashlib.sha256()
    for tensor in sorted(gguf.GGUFReader(path).tensors, key=lambda each: each.name):
        kind = tensor.tensor_type.name.lower()
        found.update(f"{tensor.name}\0{kind}\0".encode() + tensor.data.tobytes())
    return found.hexdigest()[:32]
