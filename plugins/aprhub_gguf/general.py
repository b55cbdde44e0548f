"""Keys `general.*` that describe the file: what it is and how it is laid out."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aprhub.api import (
    Finding,
    Tensor,
    UnrepresentableError,
    UnsupportedFileError,
    rewritten,
)
from aprhub_gguf.container import ALIGNMENT_KEY
from aprhub_gguf.ledger import BY_DOCTOR, Ledger
from aprhub_gguf.parts import SPLIT_KEYS
from aprhub_gguf.tables import FILE_TYPES, MIXTURE_TYPES, QUANTIZATION_VERSION
from aprhub_gguf.values import Entry

ARCHITECTURE_KEY: Final = "general.architecture"
TYPE_KEY: Final = "general.type"
IMPORTANCE_TYPE: Final = "imatrix"
FILE_TYPE_KEY: Final = "general.file_type"
QUANTIZATION_KEY: Final = "general.quantization_version"

_MODEL: Final = "model"
_GUESSED: Final = 1 << 10
"""The flag of a file type that was not asked for but found from the tensors."""
_LAYERS: Final = ".block_count"
_ARCHITECTURE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ANEW: Final = "computed anew when written"


def read_architecture(ledger: Ledger) -> str:
    """Read the name under which the hyper-parameters are stored.

    Raises CorruptFileError when it is missing, or cannot be a part of their keys,
    UnsupportedFileError for an importance matrix.
    """
    if ledger.entries.get(TYPE_KEY) == Entry("string", IMPORTANCE_TYPE):
        raise UnsupportedFileError(
            ledger.path,
            "an importance matrix, not a model; quantise a model with --imatrix",
        )
    name = ledger.text(ARCHITECTURE_KEY, "config.identity.architecture")
    if name is None:
        return _evident_architecture(ledger)
    if not _ARCHITECTURE.fullmatch(name):
        raise ledger.wrong(ARCHITECTURE_KEY, "letters, digits, '.', '_' and '-'")
    return name


def _evident_architecture(ledger: Ledger) -> str:
    """Return the one architecture that the keys of a file are about."""
    found = _prefixes(ledger)
    if len(found) != 1:
        raise ledger.missing(ARCHITECTURE_KEY, "every model")
    error = ledger.missing(ARCHITECTURE_KEY, "every model", BY_DOCTOR)
    finding = Finding(
        "DOC-ARCHITECTURE-MISSING-001",
        ARCHITECTURE_KEY,
        "missing",
        found[0],
        "C-APRHUB-EXPORT-GGUF-INTEROP",
        f"the file has {found[0]}{_LAYERS}",
        mend=rewritten,
    )
    ledger.complaints.forgive(error, finding)
    return found[0]


def hyper_prefix(ledger: Ledger, architecture: str) -> str:
    """Return what the keys of the hyper-parameters start with.

    That is the architecture; where reading is lenient, and no key starts so, it is the
    one thing that they do start with.
    """
    found = _prefixes(ledger)
    if ledger.complaints.lenient and architecture not in found and len(found) == 1:
        return found[0]
    return architecture


def _prefixes(ledger: Ledger) -> list[str]:
    keys = [key for key in ledger.entries if key.endswith(_LAYERS)]
    return [key.removesuffix(_LAYERS) for key in keys]


def settle_layout(ledger: Ledger, tensors: Mapping[str, Tensor]) -> None:
    """Settle the keys that describe the file and not the model.

    Raises UnsupportedFileError for quantised blocks of an older kind.
    """
    for key in (*SPLIT_KEYS, ALIGNMENT_KEY):
        if key in ledger.entries:
            ledger.settle(key, "transformed", "layout", _ANEW)
    if ledger.entries.get(TYPE_KEY) == Entry("string", _MODEL):
        ledger.settle(TYPE_KEY, "kept", "format")
    _settle_quantization(ledger, tensors)
    _settle_file_type(ledger, tensors)


def _settle_quantization(ledger: Ledger, tensors: Mapping[str, Tensor]) -> None:
    version = ledger.integer(QUANTIZATION_KEY, "layout")
    if version is None:
        return
    if not _is_quantized(tensors):
        ledger.carry(QUANTIZATION_KEY)
        return
    ledger.settle(QUANTIZATION_KEY, "transformed", "layout", _ANEW)
    if version != QUANTIZATION_VERSION:
        raise UnsupportedFileError(
            ledger.path,
            f"{QUANTIZATION_KEY} is {version}, blocks of version"
            f" {QUANTIZATION_VERSION} are read; quantise the original model anew",
        )


def _settle_file_type(ledger: Ledger, tensors: Mapping[str, Tensor]) -> None:
    """Settle the name of the mixture of encodings.

    It is computed anew, unless it says what the encodings do not; then it is carried,
    together with the mixture that it names.
    """
    number = ledger.integer(FILE_TYPE_KEY, "layout")
    if number is None:
        return
    if number == _file_type(tensors):
        ledger.settle(FILE_TYPE_KEY, "transformed", "layout", _ANEW)
    else:
        ledger.carry(FILE_TYPE_KEY, mixture=dict(_mixture(tensors)))


def is_quantized_type(number: int) -> bool:
    """Return whether a file type is the name of quantised encodings."""
    plain = {FILE_TYPES[name] for name in FILE_TYPES if name in ("f32", "f16", "bf16")}
    return number & _GUESSED - 1 not in plain


def is_recomputed(key: str, carried: Mapping[str, Any]) -> bool:
    """Return whether a carried value follows from others, so that it is not copied."""
    follows = (*SPLIT_KEYS, ALIGNMENT_KEY, FILE_TYPE_KEY)
    return key in follows or bool(carried.get("implied"))


def layout_entries(
    architecture: str,
    tensors: Mapping[str, Tensor],
    carried: Mapping[str, Any],
    mixture: str | None,
) -> Iterator[tuple[str, Entry]]:
    """Yield the entries that describe the file.

    Raises UnrepresentableError for an architecture that cannot be a part of keys.
    """
    if not _ARCHITECTURE.fullmatch(architecture):
        raise UnrepresentableError(
            ARCHITECTURE_KEY,
            f"{architecture!r:.80} is not of letters, digits, '.', '_' and '-'; name"
            " the --family instead of --naming keep",
        )
    yield ARCHITECTURE_KEY, Entry("string", architecture)
    if TYPE_KEY not in carried:
        yield TYPE_KEY, Entry("string", _MODEL)
    before = carried.get(FILE_TYPE_KEY, {})
    same = before.get("mixture") == dict(_mixture(tensors))
    file_type = before.get("value") if same else _file_type(tensors)
    if mixture is not None:
        file_type = {**FILE_TYPES, **MIXTURE_TYPES}.get(mixture, file_type)
    if file_type is not None:
        yield FILE_TYPE_KEY, Entry("u32", file_type)
    if _is_quantized(tensors):
        yield QUANTIZATION_KEY, Entry("u32", QUANTIZATION_VERSION)


def _mixture(tensors: Mapping[str, Tensor]) -> Counter[str]:
    """Return how many matrices there are of each encoding."""
    matrices = (each for each in tensors.values() if len(each.shape) > 1)
    return Counter(each.encoding.name for each in matrices)


def _file_type(tensors: Mapping[str, Tensor]) -> int | None:
    common = _mixture(tensors).most_common()
    return next((FILE_TYPES[name] for name, _ in common if name in FILE_TYPES), None)


def _is_quantized(tensors: Mapping[str, Tensor]) -> bool:
    return any(each.encoding.is_quantized for each in tensors.values())
