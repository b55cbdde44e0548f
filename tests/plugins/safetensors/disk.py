"""Puts layouts and hand-made safetensors files on the disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aprhub.api import Layout, LayoutFile, Literal, TensorData


def rendered(layout: Layout, target: Path) -> Path:
    """Write every file of a layout; return the target."""
    folder = target if layout.folder else target.parent
    folder.mkdir(parents=True, exist_ok=True)
    for file in layout.files:
        (folder / file.name).write_bytes(content(file))
    return target


def content(file: LayoutFile) -> bytes:
    """Return the bytes of one file of a layout."""
    parts = []
    for segment in file.segments:
        if isinstance(segment, TensorData):
            parts.append(segment.tensor.tobytes())
        elif isinstance(segment, Literal):
            parts.append(segment.data)
    return b"".join(parts)


def entry(dtype: str, shape: list[Any], begin: Any, end: Any) -> dict[str, Any]:
    """Return the header's entry of one tensor."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def packed(header: bytes | Mapping[str, Any], data: bytes = b"") -> bytes:
    """Return the bytes of a file with this header and data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def written(path: Path, data: bytes) -> Path:
    """Write a file and return its path."""
    path.write_bytes(data)
    return path


TOKENIZER: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [{"id": 2, "content": "<s>", "special": True}],
    "normalizer": None,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
    "post_processor": None,
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
}
"""A small `tokenizer.json`."""


def model_folder(path: Path, **files: Any) -> Path:
    """Write a folder with one tensor and a config; `files` adds, changes, removes.

    A value is bytes, a JSON-like value, or None for no such file; `__` is a dot.
    """
    path.mkdir(parents=True, exist_ok=True)
    weights = packed({"x": entry("F32", [2], 0, 8)}, bytes(8))
    content: dict[str, Any] = {
        "config.json": {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
        "model.safetensors": weights,
        **{name.replace("__", "."): value for name, value in files.items()},
    }
    for name, value in content.items():
        if value is not None:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            (path / name).write_bytes(data)
    return path


def can_be_a_name(text: str) -> bool:
    """Say whether a tensor can be called this; tools choke on what has no glyph."""
    return text.isprintable() and text != "__metadata__"
