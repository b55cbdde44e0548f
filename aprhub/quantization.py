"""Quantization: what a user asks for, and the encoding that each tensor gets of it.

The order of the rules is that of `llama_tensor_get_type_impl`, `tensor_type_fallback`,
`tensor_requires_imatrix` and `tensor_allows_quantization` in llama.cpp's
`src/llama-quant.cpp`.
"""

import math
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Final

from attrs import frozen

from aprhub.choices import Place
from aprhub.errors import UsageError, near_miss
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import ENCODINGS, Encoding
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.ir.tensor import Tensor
from aprhub.mixtures import ALIASES, COARSE, KEY, MIXTURES, VALUE, Mixture

_LAYER = re.compile(
    r"layers\.(?P<layer>\d+)\.((?P<expert>experts\.\d+\.)|(?P<shared>shared\.))?(?P<role>.+)"
)
_SMALLER_BLOCKS: Final[Mapping[str, str]] = {
    **dict.fromkeys((*COARSE, "iq3_s", "iq4_xs"), "iq4_nl"),
    "q2_k": "q4_0",
    "q3_k": "q4_0",
    "q4_k": "q5_0",
    "q5_k": "q5_1",
    "q6_k": "q8_0",
    "tq1_0": "q4_0",
    "tq2_0": "q4_0",
}
"""What a row gets that is not a whole number of an encoding's blocks."""


@frozen
class Quantization:
    """What a user asks for: a mixture, and encodings of tensors that are named.

    `overrides` are pairs of a pattern, with `*` for anything, and an encoding; the
    first that fits the stored or the canonical name counts. With `pure`, all matrices
    get the mixture's main encoding. With `again`, tensors that are quantised already
    are decoded for it; else they are refused. `weighed` says whether there is an
    importance matrix.
    """

    mixture: str
    overrides: tuple[tuple[str, str], ...] = ()
    pure: bool = False
    again: bool = True
    weighed: bool = False

    @classmethod
    def of(
        cls, mixture: str, overrides: Sequence[str], **options: bool
    ) -> "Quantization":
        """Read a mixture's name, and overrides as `PATTERN=ENCODING`.

        Raises UsageError for names that nobody knows.
        """
        name = ALIASES.get(mixture.lower(), mixture.lower())
        if name not in MIXTURES:
            known = ", ".join(sorted((*MIXTURES, *ALIASES)))
            near = near_miss(mixture, MIXTURES)
            raise UsageError(
                f"no mixture is called {mixture!r:.80}; take one of {known}{near}"
            )
        found = cls(name, tuple(map(_read_override, overrides)), **options)
        if found.weighed and (found.method or ENCODINGS[MIXTURES[name].encoding].flat):
            raise UsageError(f"{name} takes no importance matrix; leave imatrix out")
        return found

    def encoding(
        self, weights: Sequence[str], stored: str, tensor: Tensor, config: ModelConfig
    ) -> Encoding | None:
        """Return the encoding of a tensor, or None for one that is not quantised.

        `weights` are the canonical names of what is in it.
        """
        mixture, override = MIXTURES[self.mixture], self._override(weights, stored)
        if override or self.method:
            return override
        if tensor.size < mixture.smallest or not _is_quantised(weights[0], tensor):
            return None
        columns = tensor.shape[-1]
        chosen = mixture.encoding
        if not self.pure:
            chosen = self._chosen(mixture, weights, columns, config)
        return _fitting(chosen, columns)

    @property
    def method(self) -> str | None:
        """The method by which the mixture spreads weights over several tensors."""
        return MIXTURES[self.mixture].packing

    def packing(
        self, weights: Sequence[str], stored: str, tensor: Tensor
    ) -> str | None:
        """Return the method that spreads a tensor over several, if it is to be so."""
        taken = _LAYER.fullmatch(weights[0]) and _is_quantised(weights[0], tensor)
        return self.method if taken and not self._override(weights, stored) else None

    def refuse_idle_patterns(self, tensors: Sequence[Sequence[str]]) -> None:
        """Raise UsageError for a pattern of an override that fits no tensor.

        Of each tensor all names are given, that in the target first.
        """
        names = list(chain.from_iterable(tensors))
        for pattern, _ in self.overrides:
            if any(fnmatchcase(name, pattern) for name in names):
                continue
            inside = sum(any(pattern in name for name in each) for each in tensors)
            part = f" ('*{pattern:.80}*' fits {inside})" if inside else ""
            stored, canonical, *_ = tensors[0]
            raise UsageError(
                f"tensor_types: no tensor is called {pattern!r:.80}; give a name of the"
                f" target, such as {stored}, or a canonical one, such as"
                f" {canonical}{part or near_miss(pattern, names)}"
            )

    def _override(self, weights: Sequence[str], stored: str) -> Encoding | None:
        for pattern, name in self.overrides:
            if any(fnmatchcase(each, pattern) for each in (stored, *weights)):
                return ENCODINGS[name]
        return None

    def needs_importance(self, canonical: str, encoding: Encoding) -> bool:
        """Return whether a tensor so encoded is refused without an importance matrix.

        The embedding and the head never are: what measures a matrix leaves them out.
        """
        needing = (*COARSE, MIXTURES[self.mixture].needing)
        return canonical not in (EMBEDDING, HEAD) and encoding.name in needing

    def _chosen(
        self,
        mixture: Mixture,
        weights: Sequence[str],
        columns: int,
        config: ModelConfig,
    ) -> str:
        main, weight = mixture.encoding, weights[0]
        found = _LAYER.fullmatch(weights[-1])
        if mixture.dense:
            several = (config.num_experts or 0) > 1
            return main if found and found["expert"] and several else mixture.dense
        tied = config.tie_embeddings and weight == EMBEDDING
        if weight == HEAD or tied:
            whole = ENCODINGS[main].fits(columns)
            return mixture.head if whole and main != "q8_0" else "q8_0"
        if weight == EMBEDDING:
            return mixture.embedding or main
        return self._in_layer(mixture, found, config) if found else main

    def _in_layer(
        self, mixture: Mixture, found: re.Match[str], config: ModelConfig
    ) -> str:
        """Choose for what is joined as for the last of it: queries, keys and values."""
        role, layer = found["role"], int(found["layer"])
        each = 2 if config.shared_intermediate_size else 1
        place = Place(
            layer,
            config.num_layers or 1,
            _sharing(config),
            self.weighed,
            config.num_experts or 0,
            each * layer + bool(found["shared"]),
        )
        if mixture.raises and role in (KEY, VALUE) and place.is_of_eight:
            return "q8_0"
        other = mixture.others[role](place) if role in mixture.others else None
        chosen = other or mixture.encoding
        small = role == VALUE and chosen in ("q3_k", "q4_k") and mixture.raises
        return "q5_k" if small and _is_70b(config) else chosen


def _read_override(text: str) -> tuple[str, str]:
    pattern, _, name = text.rpartition("=")
    if not pattern or name.lower() not in ENCODINGS:
        raise UsageError(
            f"tensor_types: {text!r:.80} is not PATTERN=ENCODING; take an encoding of"
            f" 'aprhub codecs'{near_miss(name, ENCODINGS)}"
        )
    return pattern, name.lower()


def _is_quantised(weight: str, tensor: Tensor) -> bool:
    """Return whether a tensor is a matrix that is multiplied, or the embedding."""
    is_matrix = math.prod(tensor.shape[:-1]) > 1 and weight.endswith(".weight")
    changeable = tensor.encoding.is_float or tensor.encoding.is_quantized
    kept = weight.endswith(("norm.weight", "router.weight"))
    return is_matrix and changeable and not kept


def _sharing(config: ModelConfig) -> int:
    heads = config.num_heads or 1
    return heads // (config.num_kv_heads or heads)


def _is_70b(config: ModelConfig) -> bool:
    """Return whether eight heads share so little that more bits for it cost nothing."""
    grouped = config.family == "qwen2" or _sharing(config) > 1
    families = ("llama", "mixtral", "qwen2")
    return grouped and config.family in families and config.num_layers == 80


def _fitting(name: str, columns: int) -> Encoding:
    if not ENCODINGS[name].fits(columns):
        name = _SMALLER_BLOCKS.get(name, name)
    return ENCODINGS[name if ENCODINGS[name].fits(columns) else "f16"]
