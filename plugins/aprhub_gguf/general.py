"""Keys `general.*` that describe the file: what it is and how it is laid out."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aprhub.api import Tensor, UnrepresentableError, UnsupportedFileError
from aprhub_gguf.container import ALIGNMENT_KEY
from aprhub_gguf.ledger import Ledger
from aprhub_gguf.parts import SPLIT_KEYS
from aprhub_gguf.tables import FILE_TYPES, MIXTURE_TYPES, QUANTIZATION_VERSION
from aprhub_gguf.values import Entry

ARCHITECTURE_KEY: Final = "general.architecture"
TYPE_KEY: Final = "general.type"
IMPORTANCE_TYPE: Final = "imatrix"
FILE_TYPE_KEY: Final = "general.file_type"
QUANTIZATION_KEY: Final = "general.quantization_version"

_MODEL: Final = "model"
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
        raise ledger.missing(ARCHITECTURE_KEY, "every model")
    if not _ARCHITECTURE.fullmatch(name):
        raise ledger.wrong(ARCHITECTURE_KEY, "letters, digits, '.', '_' and '-'")
    return name


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
            f"{QUANTIZATION_KEY} is {version}; blocks of version"
            f" {QUANTIZATION_VERSION} are read",
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
        what = f"{architecture!r:.80} is not of letters, digits, '.', '_' and '-'"
        raise UnrepresentableError(ARCHITECTURE_KEY, what)
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
