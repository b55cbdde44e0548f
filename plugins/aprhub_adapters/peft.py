"""PEFT folders: `adapter_model.safetensors` beside `adapter_config.json`.

Names and their meaning: `save_and_load.py`, `tuners/lora/config.py` and `layer.py` of
PEFT 0.21. A is `(r, in)` and B `(out, r)`, but those of an embedding, whose product is
transposed: A is `(r, vocabulary)` and B `(hidden, r)`. Those of a parameter that is no
module are named by the module that has it; of several, the wrappers lie one within the
other, which `base_layer` in the name tells.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from attrs import field, frozen

from aprhub.api import (
    AdapterPart,
    AdapterTensor,
    AlphaClaim,
    CorruptFileError,
    Document,
    StoredAdapter,
    StoredModel,
    Tensor,
    UnsupportedFileError,
    name_in_text_model,
)
from aprhub_adapters import documents, headers
from aprhub_adapters.peft_writing import CONFIG, PREFIX, WEIGHTS

_LORA = re.compile(
    r"(.+)\.(lora_(?:embedding_)?[AB]|lora_magnitude_vector)"
    r"(?:\.(?!weight$|bias$)[^.]+)?(?:\.(weight|bias))?"
)
_REPEATED = re.compile(r"\)[*+{]")
_WHOLE = re.compile(
    r"(.+?)(?:\.modules_to_save(?:\.[^.]+)?|(?:\.token_adapter)?\.base_layer)?"
    r"\.(weight|bias)"
)

_TOKENS: Final = re.compile(r"(.+?)(?:\.token_adapter)?\.trainable_tokens_delta")
"""Rows of single tokens, in place of those of the embedding, or of the head."""

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

_EXPERTS: Final = ("gate_up_proj", "down_proj")
"""The parameters of stacked experts in their order in `transformers` 5, which is that
of their wrappers, from the inside."""
_INNER: Final = ".base_layer"
_STACK: Final = ".experts"

_TOKENS_ALONE: Final = "TRAINABLE_TOKENS"

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
    config = config or Document(path, {})
    reading = _Reading(
        config,
        _patterns(config),
        config.texts("target_parameters") or (),
        container.tensors,
    )
    before = [name for name in container.tensors if reading.is_before(name)]
    told = {
        name: reading.told(name) for name in container.tensors if name not in before
    }
    return StoredAdapter(
        container,
        tuple(each for each in told.values() if each),
        ("hf",),
        (
            *headers.alphas(container),
            AlphaClaim(f"lora_alpha of {path.name}", config.number("lora_alpha")),
        ),
        bool(config.flag("use_rslora")),
        tuple(name for name, each in told.items() if each is None),
        (*_notes(config), *(f"{name} is from before the training" for name in before)),
    )


def _patterns(config: Document) -> dict[re.Pattern[str], float]:
    """Return alpha by what the end of a module's path must match.

    Repeated groups are refused: with some, to match takes time without end.
    """
    found = {}
    section = config.section("alpha_pattern") or Document(config.path, {})
    for pattern in section.values:
        alpha = section.number(pattern)
        if alpha is None:
            raise section.fault(pattern, "a number")
        try:
            compiled = re.compile(rf"(?:.*\.)?(?:{pattern})")
        except re.error as error:
            what = f"{pattern!r:.60} is no regular expression: {error.msg}"
            where, repair = "alpha_pattern", "correct the pattern there"
            raise CorruptFileError(
                config.path, what, where=where, repair=repair
            ) from error
        if _REPEATED.search(pattern):
            raise UnsupportedFileError(
                config.path,
                f"alpha_pattern {pattern!r:.60} repeats a group, which is not read;"
                " name the modules by their paths there",
            )
        found[compiled] = alpha
    return found


@frozen
class _Reading:
    """What tells the meaning of a name: all names, and parts of the configuration.

    `parameters` are the ends of the paths of adapted parameters.
    """

    config: Document
    patterns: Mapping[re.Pattern[str], float]
    parameters: Sequence[str]
    tensors: Mapping[str, Tensor] = field(repr=False)

    def told(self, name: str) -> AdapterTensor | None:
        """Return what a tensor is, or None where the name has no meaning."""
        path, tensor = name.removeprefix(PREFIX), self.tensors[name]
        if tokens := _TOKENS.fullmatch(path):
            rows = _rows(self.config, tokens[1])
            weight = name_in_text_model(f"{tokens[1]}.weight")
            return AdapterTensor(name, weight, AdapterPart.ROWS, tensor, rows=rows)
        found = _LORA.fullmatch(path)
        if found is None:
            whole = _WHOLE.fullmatch(path)
            return whole and AdapterTensor(
                name,
                name_in_text_model(f"{whole[1]}.{whole[2]}"),
                AdapterPart.WHOLE,
                tensor,
            )
        module, matrix, kind = found.groups()
        part = _PARTS.get((matrix, kind))
        if part is None:
            return None
        if matrix.startswith("lora_embedding") and len(tensor.shape) == 2:
            tensor = tensor.transposed()
        if part is AdapterPart.MAGNITUDE and module in self._embeddings:
            part = AdapterPart.LENGTHS
        parameter = self._parameter(module)
        alpha = _own(parameter or module, self.patterns)
        weight = name_in_text_model(parameter or f"{module}.weight")
        return AdapterTensor(name, weight, part, tensor, alpha)

    def is_before(self, name: str) -> bool:
        """Return whether a tensor is that of a module before it was trained whole.

        PEFT saves it besides the other where the vocabulary has grown.
        """
        after = name.replace(".original_module.", ".modules_to_save.")
        return after != name and after in self.tensors

    @cached_property
    def _embeddings(self) -> frozenset[str]:
        found = (_LORA.fullmatch(each.removeprefix(PREFIX)) for each in self.tensors)
        pairs = (each.groups() for each in found if each)
        return frozenset(m for m, matrix, _ in pairs if "embedding" in matrix)

    def _parameter(self, wrapped: str) -> str | None:
        """Return the path of the parameter that a wrapper of a module is for."""
        module, depth = wrapped, 0
        while module.endswith(_INNER):
            module, depth = module.removesuffix(_INNER), depth + 1
        # What is adapted may be named by its last word alone, which fits any module.
        if not module.endswith(_STACK):
            return None
        paths = (f"{module}.{name}" for name in _EXPERTS)
        adapted = [path for path in paths if self._is_adapted(path)]
        return adapted[-1 - depth] if depth < len(adapted) else None

    def _is_adapted(self, path: str) -> bool:
        return any(f".{path}".endswith(f".{each}") for each in self.parameters)


def _rows(config: Document, module: str) -> tuple[int, ...]:
    """Return the rows of a module that single tokens have, in the order of the file."""
    key = "trainable_token_indices"
    found = config.values.get(key)
    if config.text("peft_type") == _TOKENS_ALONE:
        key = "token_indices"
        found = config.values.get(key)
    if isinstance(found, dict):
        ends = (ids for end, ids in found.items() if f".{module}".endswith(f".{end}"))
        found = next(ends, None)
    if not isinstance(found, list) or not all(map(_is_index, found)):
        raise config.fault(key, f"the ids of the rows that there are for {module}")
    return tuple(found)


def _is_index(value: object) -> bool:
    return type(value) is int and value >= 0


def _own(module: str, patterns: Mapping[re.Pattern[str], float]) -> float | None:
    """Return the alpha of the first pattern that fits a module's path."""
    fitting = (alpha for each, alpha in patterns.items() if each.fullmatch(module))
    return next(fitting, None)


def _refuse_other_kinds(config: Document) -> None:
    if config.text("peft_type") not in (None, "LORA", _TOKENS_ALONE):
        raise UnsupportedFileError(
            config.path,
            f"{_said(config, 'peft_type')}, only 'LORA' and {_TOKENS_ALONE!r} are read;"
            " run it with PEFT, or merge it there",
        )
    for key in ("layer_replication", "alora_invocation_tokens", "arrow_config"):
        if config.values.get(key):
            raise UnsupportedFileError(
                config.path,
                f"{_said(config, key)}: it has no form as a change of weights; run the"
                " adapter with PEFT",
            )
    for key in ("use_qalora", "use_bdlora", "ensure_weight_tying"):
        if config.values.get(key):
            raise UnsupportedFileError(
                config.path,
                f"{_said(config, key)}: such adapters are not read; run it with PEFT,"
                " or train one without",
            )
    if config.values.get("init_lora_weights") not in _HARMLESS_STARTS:
        raise UnsupportedFileError(
            config.path,
            f"{_said(config, 'init_lora_weights')}: the base was changed, too, when"
            " training began; save the adapter again with PEFT's"
            " path_initial_model_for_weight_conversion",
        )


def _said(config: Document, key: str) -> str:
    return f"{key} is {config.values.get(key)!r:.60}"


def _notes(config: Document) -> Iterator[str]:
    if config.flag("fan_in_fan_out"):
        yield "fan_in_fan_out is about how the base stored its matrices: nothing to do"
