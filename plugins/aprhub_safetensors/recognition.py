"""What the first bytes of a file, or the names in a folder, show."""

import re
from pathlib import Path
from typing import Final

from aprhub.api import FileEvidence, UnsupportedFileError
from aprhub_safetensors.tables import CONFIG, INDEX, MAX_HEADER, SUFFIX

PICKLES: Final = re.compile(r".*\.(bin|pt|pth|ckpt)")

SHARD: Final = re.compile(r"model-(\d{5,})-of-(\d{5,})\.safetensors")

IMPOSTORS: Final = (
    (
        re.compile(rb"version https://git-lfs"),
        "a Git LFS pointer instead of the file; run 'git lfs pull' where it comes from",
    ),
    (
        re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE),
        "an HTML page, probably the error page of a download; download the file again",
    ),
    (
        re.compile(rb"\x80[\x02-\x05][^\x00]"),
        "a Python pickle, which may run code when it is loaded; save the weights as"
        " safetensors where you trust them",
    ),
    (
        re.compile(rb"PK\x03\x04"),
        "a zip archive, perhaps weights as PyTorch saves them, which may run code when"
        " loaded; save the weights as safetensors where you trust them",
    ),
)
"""Files that often stand where another was expected, and what to do about each."""


def has_structure(evidence: FileEvidence) -> bool:
    """Return whether a file or folder is built like safetensors; opens nothing."""
    if evidence.names:
        return _is_model_folder(evidence.names)
    if evidence.path.name == INDEX:
        return True
    return has_header(evidence.head, evidence.size)


def has_header(head: bytes, size: int) -> bool:
    """Return whether a file starts with a length that fits it, and with a brace."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length <= min(MAX_HEADER, size - 8)


def _is_model_folder(names: frozenset[str]) -> bool:
    weights = any(name.endswith(SUFFIX) or PICKLES.fullmatch(name) for name in names)
    named = any(name in ("model" + SUFFIX, INDEX) or _is_shard(name) for name in names)
    return named or (CONFIG in names and weights)


def _is_shard(name: str) -> bool:
    return SHARD.fullmatch(name) is not None


def refuse_impostor(path: Path, head: bytes) -> None:
    """Raise UnsupportedFileError when the file is evidently something else."""
    for pattern, what in IMPOSTORS:
        if pattern.match(head):
            raise UnsupportedFileError(path, what)
