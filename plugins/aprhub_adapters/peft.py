"""PEFT folders: `adapter_model.safetensors` beside `adapter_config.json`.

Names and their meaning: `save_and_load.py`, `tuners/lora/config.py` and `layer.py` of
PEFT 0.21. A is `(r, in)` and B `(out, r)`, but those of an embedding, whose product is
transposed: A is `(r, vocabulary)` and B `(hidden, r)`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from aprhub.api import (
    AdapterPart,
    AdapterTensor,
    AlphaClaim,
    CorruptFileError,
    StoredAdapter,
    StoredModel,
    Tensor,
    UnsupportedFileError,
)
from aprhub_adapters import documents, headers
from aprhub_adapters.documents import Document
from aprhub_adapters.peft_writing import CONFIG, PREFIX, WEIGHTS

_LORA = re.compile(
    r"(.+)\.(lora_(?:embedding_)?[AB]|lora_magnitude_vector)"
    r"(?:\.(?!weight$|bias$)[^.]+)?(?:\.(weight|bias))?"
)
_REPEATED = re.compile(r"\)[*+{]")
_WHOLE = re.compile(
    r"(.+?)(?:\.modules_to_save(?:\.[^.]+)?|\.base_layer)?\.(weight|bias)"
)

_PARTS: Final[Mapping[tuple[str, str | None], AdapterPart]] = {
    ("lora_A", "weight"): AdapterPart.A,
    ("lora_B", "weight"): AdapterPart.B,
    ("lora_B", "bias"): AdapterPart.BIAS,
    # What is for an embedding acts on its rows from the other side.
    ("lora_embedding_A", None): AdapterPart.B,
    ("lora_embedding_B", None): AdapterPart.A,
    ("lora_magnitude_vector", None): AdapterPart.MAGNITUDE,
    ("lora_magnitude_vector", "weight"): AdapterPart.MAGNITUDE,
}

_HARMLESS_STARTS: Final = (None, True, False, "gaussian", "eva", "orthogonal")
"""How matrices can start without that the base is changed, too."""


def recognises(container: StoredModel) -> bool:
    """Return whether a container has PEFT's configuration beside it, or its names."""
    if any(_LORA.fullmatch(name) for name in container.tensors):
        return True
    path = container.path
    return path.name == WEIGHTS and (path.parent / CONFIG).is_file()


def open_peft(container: StoredModel) -> StoredAdapter:
    """Give the tensors of a container their meaning.

    Raises UnsupportedFileError for kinds of adapters that are no low-rank change of the
    base's own weights.
    """
    path = container.path.parent / CONFIG
    config = documents.read(path)
    if config is not None:
        _refuse_other_kinds(config)
    config = config or Document(path)
    patterns = _patterns(config)
    told = {
        name: _told(name, each, patterns) for name, each in container.tensors.items()
    }
    return StoredAdapter(
        container,
        tuple(each for each in told.values() if each),
        ("hf",),
        (
            *headers.alphas(container),
            AlphaClaim(f"lora_alpha of {path.name}", config.number("lora_alpha")),
        ),
        config.flag("use_rslora"),
        tuple(name for name, each in told.items() if each is None),
        tuple(_notes(config)),
    )


def _patterns(config: Document) -> dict[re.Pattern[str], float]:
    """Return alpha by what the end of a module's path must match.

    Repeated groups are refused: with some, to match takes time without end.
    """
    found = {}
    for pattern, alpha in config.numbers("alpha_pattern").items():
        try:
            compiled = re.compile(rf"(?:.*\.)?(?:{pattern})")
        except re.error as error:
            what = f"{pattern!r:.60} is no regular expression: {error}"
            raise CorruptFileError(config.path, what, where="alpha_pattern") from error
        if _REPEATED.search(pattern):
            what = f"alpha_pattern {pattern!r:.60} repeats a group, which is not read"
            raise UnsupportedFileError(config.path, what)
        found[compiled] = alpha
    return found


def _told(
    name: str, tensor: Tensor, patterns: Mapping[re.Pattern[str], float]
) -> AdapterTensor | None:
    """Return what a tensor is, or None where the name has no meaning."""
    path = name.removeprefix(PREFIX)
    found = _LORA.fullmatch(path)
    if found is None:
        whole = _WHOLE.fullmatch(path)
        return whole and AdapterTensor(
            name, f"{whole[1]}.{whole[2]}", AdapterPart.WHOLE, tensor
        )
    module, matrix, kind = found.groups()
    part = _PARTS.get((matrix, kind))
    if part is None:
        return None
    if matrix.startswith("lora_embedding") and len(tensor.shape) == 2:
        tensor = tensor.transposed()
    return AdapterTensor(name, f"{module}.weight", part, tensor, _own(module, patterns))


def _own(module: str, patterns: Mapping[re.Pattern[str], float]) -> float | None:
    """Return the alpha of the first pattern that fits a module's path."""
    fitting = (alpha for each, alpha in patterns.items() if each.fullmatch(module))
    return next(fitting, None)


def _refuse_other_kinds(config: Document) -> None:
    if config.text("peft_type") not in (None, "LORA"):
        raise _unsupported(config, "peft_type", "only LORA is read")
    for key in ("layer_replication", "alora_invocation_tokens", "arrow_config"):
        if config.values.get(key):
            raise _unsupported(config, key, "it has no form as a change of weights")
    for key in ("use_qalora", "use_bdlora", "ensure_weight_tying"):
        if config.values.get(key):
            raise _unsupported(config, key, "such adapters are not read")
    if config.values.get("init_lora_weights") not in _HARMLESS_STARTS:
        what = (
            "the base was changed, too, when training began; save the adapter again"
            " with PEFT's path_initial_model_for_weight_conversion"
        )
        raise _unsupported(config, "init_lora_weights", what)


def _unsupported(config: Document, key: str, what: str) -> UnsupportedFileError:
    value = config.values.get(key)
    return UnsupportedFileError(config.path, f"{key} is {value!r:.60}: {what}")


def _notes(config: Document) -> Iterator[str]:
    if config.flag("fan_in_fan_out"):
        yield "fan_in_fan_out is about how the base stored its matrices: nothing to do"
