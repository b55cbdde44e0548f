"""What a stamp did."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from aprhub.report import WrittenFile

SCHEMA: Final = 1
_SHOWN: Final = 4096


def _read(value: Any) -> Any:
    """Return a JSON-like value with all that its lists hold."""
    if isinstance(value, Mapping):
        return {key: _read(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_read(each) for each in value]
    return value


@frozen
class KeyChange:
    """A key of the format, and its JSON-like values; None where it was or is not.

    Lists are read at once: the file that they stand in may be replaced afterwards.
    """

    key: str
    before: Any = field(converter=_read)
    after: Any = field(converter=_read)


@frozen
class StampReport:
    """What a stamp did: keys, files, and what it left alone.

    `nbytes` counts the bytes of the tensors, `sha256` is a digest over all of them,
    source and output alike, where it was asked to verify. `input_bytes` and
    `output_bytes` count all files of the model, `flags` are the bits of its header.
    """

    source: Path
    target: Path
    format: str
    changes: tuple[KeyChange, ...]
    files: tuple[WrittenFile, ...]
    tensors: int
    nbytes: int
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    dry_run: bool = False
    seconds: float = 0.0
    input_bytes: int = 0
    output_bytes: int = 0
    flags: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-like data; values of many bytes by their digest."""
        return {
            "schema": SCHEMA,
            "command": "stamp",
            "input": str(self.source),
            "output": str(self.target),
            "format": self.format,
            "input_bytes": self.input_bytes,
            "output_bytes": self.output_bytes,
            "header_flags_bits": self.flags,
            "written_bytes": sum(each.nbytes for each in self.files),
            "tensor_count": self.tensors,
            "tensor_bytes": self.nbytes,
            "tensor_sha256": self.sha256,
            "stamped": {
                each.key: {"before": brief(each.before), "after": brief(each.after)}
                for each in self.changes
            },
            "files": [{"path": e.path, "nbytes": e.nbytes} for e in self.files],
            "notes": list(self.notes),
            "dry_run": self.dry_run,
            "seconds": self.seconds,
        }


def changed(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[KeyChange, ...]:
    """Return the keys that are not the same, in the order of what comes after."""
    keys = dict.fromkeys((*after, *before))
    pairs = ((key, before.get(key), after.get(key)) for key in keys)
    return tuple(
        KeyChange(key, one, other) for key, one, other in pairs if _differ(one, other)
    )


def _differ(one: Any, other: Any) -> bool:
    return one is not other and (type(one) is not type(other) or one != other)


def brief(value: Any) -> Any:
    """Return a value, or how long it is and its digest where that is much shorter."""
    text = json.dumps(_read(value))
    if len(text) <= _SHOWN:
        return json.loads(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"json_bytes": len(text), "sha256": digest}
