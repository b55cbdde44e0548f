"""What is wrong with a GGUF file that can be read, for `aprhub doctor`."""

from collections.abc import Iterator
from pathlib import Path

from attrs import evolve

from aprhub.api import Complaints, Examined, Finding, StoredModel
from aprhub_gguf.general import FILE_TYPE_KEY, is_quantized_type
from aprhub_gguf.metadata import field_of
from aprhub_gguf.reader import stored_model
from aprhub_gguf.worlds import WORLD


def examine_gguf(path: Path) -> Examined:
    """Open a file, forgiving what can be put right, and say what that is."""
    complaints = Complaints(lenient=True)
    stored = stored_model(path, complaints)
    findings = (*complaints.findings, *_quantization_findings(stored))
    disputes = [
        evolve(each, field=field_of(each.where)) for each in complaints.disputes
    ]
    return Examined(stored, findings, disputes)


def _quantization_findings(stored: StoredModel) -> Iterator[Finding]:
    """Find the name of a quantised mixture in a file without a quantised tensor.

    The version of the blocks is in every file that llama.cpp's converter makes.
    """
    said = stored.carried.get(WORLD, {}).get(FILE_TYPE_KEY)
    tensors = stored.tensors.values()
    quantized = any(each.encoding.is_quantized for each in tensors)
    if said and tensors and not quantized and is_quantized_type(said["value"]):
        yield Finding(
            "DOC-QUANTIZATION-STALE-001",
            FILE_TYPE_KEY,
            f"{said['value']}, a mixture of quantised types",
            "the type of the tensors",
            "C-APRHUB-EXPORT-GGUF-INTEROP",
            "no tensor has a quantised type",
            mend=_without_mark,
        )


def _without_mark(stored: StoredModel) -> StoredModel:
    own = stored.carried.get(WORLD, {})
    kept = {key: value for key, value in own.items() if key != FILE_TYPE_KEY}
    return evolve(stored, carried={**stored.carried, WORLD: kept})
