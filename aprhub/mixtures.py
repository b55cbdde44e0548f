"""Mixtures: which encoding each tensor of a quantised model gets.

The mixtures, their fallbacks and their names are those of llama.cpp's quantiser without
an importance matrix: `llama_tensor_get_type_impl`, `tensor_type_fallback` and
`tensor_allows_quantization` in `src/llama-quant.cpp`.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from attrs import frozen

from aprhub.errors import UsageError
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import ENCODINGS, Encoding
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.ir.tensor import Tensor

_KEY: Final = "attn.k.weight"
_VALUE: Final = "attn.v.weight"
_OUT: Final = "attn.o.weight"
_DOWN: Final = "ffn.down.weight"

_LAYER = re.compile(
    r"layers\.(?P<layer>\d+)\.((?P<expert>experts\.\d+\.)|shared\.)?(?P<role>.+)"
)
_SMALLER_BLOCKS: Final[Mapping[str, str]] = {
    "iq4_xs": "iq4_nl",
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
class _Place:
    """Which of how many layers; `sharing` query heads share one key and value head."""

    layer: int
    layers: int
    sharing: int
    experts: int | None = None

    @property
    def is_of_eight(self) -> bool:
        """Whether there are eight experts, beside whom attention takes little room."""
        return self.experts == 8

    def is_before(self, part: int) -> bool:
        """Return whether this is one of the first layers, one part of them."""
        return self.layer < self.layers // part

    @property
    def is_sensitive(self) -> bool:
        """Whether it is one of the first or last eighth, or each third in between."""
        first, last = self.layers // 8, 7 * self.layers // 8
        inner = (self.layer - first) % 3 == 2
        return self.layer < first or self.layer >= last or inner


_Choice = Callable[[_Place], str | None]
"""Returns the encoding at a place, or None for the mixture's own."""


def _always(name: str) -> _Choice:
    return lambda _place: name


def _where_sensitive(name: str) -> _Choice:
    return lambda place: name if place.is_sensitive else None


def _first(part: int, name: str, other: str | None = None) -> _Choice:
    return lambda place: name if place.is_before(part) else other


def _first_layers(count: int, name: str, other: str | None = None) -> _Choice:
    return lambda place: name if place.layer < count else other


def _shared(name: str, other: str | None = None) -> _Choice:
    return lambda place: name if place.sharing >= 4 else other


def _of_eight(name: str | None, other: str | None = None) -> _Choice:
    return lambda place: name if place.is_of_eight else other


@frozen
class _Mixture:
    """The encoding of most matrices, and of those that have another.

    With `dense`, the first is for experts only, and everything else has that.
    """

    encoding: str
    others: Mapping[str, _Choice] = {}
    embedding: str | None = None
    dense: str | None = None


def _alone(*names: str) -> dict[str, _Mixture]:
    return {name: _Mixture(name) for name in names}


_IQ4: Final[Mapping[str, _Choice]] = {
    _VALUE: _shared("q5_k"),
    _DOWN: _first(8, "q5_k"),
    _OUT: _of_eight("q5_k"),
}

MIXTURES: Final[Mapping[str, _Mixture]] = {
    **_alone("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q6_k"),
    "q2_k": _Mixture(
        "q2_k",
        {
            _VALUE: _shared("q4_k", "q3_k"),
            _DOWN: _always("q3_k"),
            _OUT: _of_eight("q5_k", "q3_k"),
        },
    ),
    "q3_k_s": _Mixture("q3_k", {_OUT: _of_eight("q5_k")}),
    "q3_k_m": _Mixture(
        "q3_k",
        {
            _VALUE: _first_layers(2, "q5_k", "q4_k"),
            _DOWN: _first(16, "q5_k", "q4_k"),
            _OUT: _of_eight("q5_k", "q4_k"),
        },
    ),
    "q3_k_l": _Mixture(
        "q3_k",
        {
            _VALUE: _always("q5_k"),
            _DOWN: _always("q5_k"),
            _OUT: _of_eight(None, "q5_k"),
        },
    ),
    "q4_k_s": _Mixture(
        "q4_k",
        {
            _VALUE: _first_layers(4, "q5_k"),
            _DOWN: _first(8, "q5_k"),
            _OUT: _of_eight("q5_k"),
        },
    ),
    "q4_k_m": _Mixture(
        "q4_k",
        {
            _VALUE: _where_sensitive("q6_k"),
            _DOWN: _where_sensitive("q6_k"),
            _OUT: _of_eight("q5_k"),
        },
    ),
    "q5_k_s": _Mixture("q5_k"),
    "q5_k_m": _Mixture(
        "q5_k", dict.fromkeys((_VALUE, _DOWN), _where_sensitive("q6_k"))
    ),
    "iq4_nl": _Mixture("iq4_nl", _IQ4),
    "iq4_xs": _Mixture("iq4_xs", _IQ4),
    "tq1_0": _Mixture("tq1_0", embedding="q4_k"),
    "tq2_0": _Mixture("tq2_0", embedding="q4_k"),
    "mxfp4_moe": _Mixture("mxfp4", dense="q8_0"),
}


@frozen
class Quantization:
    """What a user asks for: a mixture, and encodings of tensors that are named.

    `overrides` are pairs of a pattern, with `*` for anything, and an encoding; the
    first that fits the stored or the canonical name counts. With `pure`, all matrices
    get the mixture's main encoding. With `again`, tensors that are quantised already
    are decoded for it; else they are refused.
    """

    mixture: str
    overrides: tuple[tuple[str, str], ...] = ()
    pure: bool = False
    again: bool = True

    @classmethod
    def of(
        cls, mixture: str, overrides: Sequence[str], *, pure: bool, again: bool
    ) -> "Quantization":
        """Read a mixture's name, and overrides as `PATTERN=ENCODING`.

        Raises UsageError for names that nobody knows.
        """
        if mixture.lower() not in MIXTURES:
            known = ", ".join(sorted(MIXTURES))
            raise UsageError(f"no mixture is called {mixture!r} (known: {known})")
        pairs = tuple(map(_override, overrides))
        return cls(mixture.lower(), pairs, pure, again)

    def encoding(
        self, weights: Sequence[str], stored: str, tensor: Tensor, config: ModelConfig
    ) -> Encoding | None:
        """Return the encoding of a tensor, or None for one that is not quantised.

        `weights` are the canonical names of what is in it.
        """
        for pattern, name in self.overrides:
            if any(fnmatchcase(each, pattern) for each in (stored, *weights)):
                return ENCODINGS[name]
        if not _is_quantised(weights[0], tensor):
            return None
        mixture, columns = MIXTURES[self.mixture], tensor.shape[-1]
        chosen = mixture.encoding
        if not self.pure:
            chosen = _chosen(mixture, weights, columns, config)
        return _fitting(chosen, columns)


def _override(text: str) -> tuple[str, str]:
    pattern, _, name = text.rpartition("=")
    if not pattern or name.lower() not in ENCODINGS:
        raise UsageError(f"{text!r} is not PATTERN=ENCODING (see 'aprhub codecs')")
    return pattern, name.lower()


def _is_quantised(weight: str, tensor: Tensor) -> bool:
    """Return whether a tensor is a matrix that is multiplied, or the embedding."""
    is_matrix = math.prod(tensor.shape[:-1]) > 1 and weight.endswith(".weight")
    changeable = tensor.encoding.is_float or tensor.encoding.is_quantized
    kept = weight.endswith(("norm.weight", "router.weight"))
    return is_matrix and changeable and not kept


def _chosen(
    mixture: _Mixture, weights: Sequence[str], columns: int, config: ModelConfig
) -> str:
    main, weight = mixture.encoding, weights[0]
    found = _LAYER.fullmatch(weights[-1])
    if mixture.dense:
        several = (config.num_experts or 0) > 1
        return main if found and found["expert"] and several else mixture.dense
    tied = config.tie_embeddings and weight == EMBEDDING
    if weight == HEAD or tied:
        whole = columns % ENCODINGS[main].block_elements == 0
        return "q6_k" if whole and main != "q8_0" else "q8_0"
    if weight == EMBEDDING:
        return mixture.embedding or main
    return _in_layer(mixture, found, config) if found else main


def _in_layer(mixture: _Mixture, found: re.Match[str], config: ModelConfig) -> str:
    """Choose for what is joined as for the last of it: queries, keys and values."""
    role = found["role"]
    place = _Place(
        int(found["layer"]),
        config.num_layers or 1,
        _sharing(config),
        config.num_experts,
    )
    if role in (_KEY, _VALUE) and place.is_of_eight:
        return "q8_0"
    other = mixture.others[role](place) if role in mixture.others else None
    chosen = other or mixture.encoding
    raised = role == _VALUE and chosen in ("q3_k", "q4_k") and _is_70b(config)
    return "q5_k" if raised else chosen


def _sharing(config: ModelConfig) -> int:
    heads = config.num_heads or 1
    return heads // (config.num_kv_heads or heads)


def _is_70b(config: ModelConfig) -> bool:
    """Return whether eight heads share so little that more bits for it cost nothing."""
    grouped = config.family == "qwen2" or _sharing(config) > 1
    families = ("llama", "mixtral", "qwen2")
    return grouped and config.family in families and config.num_layers == 80


def _fitting(name: str, columns: int) -> Encoding:
    if columns % ENCODINGS[name].block_elements:
        name = _SMALLER_BLOCKS.get(name, name)
    fits = columns % ENCODINGS[name].block_elements == 0
    return ENCODINGS[name if fits else "f16"]
