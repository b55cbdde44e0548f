"""Mixtures: which encoding each tensor of a quantised model gets.

The mixtures, their fallbacks and their names are those of llama.cpp's quantiser:
`llama_tensor_get_type_impl`, `tensor_type_fallback`, `tensor_requires_imatrix` and
`tensor_allows_quantization` in `src/llama-quant.cpp`.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from attrs import frozen

from aprhub.choices import (
    Choice,
    Place,
    always,
    either,
    first,
    first_layers,
    if_weighed,
    inner,
    shared,
    unless_weighed,
    where_sensitive,
)
from aprhub.errors import UsageError
from aprhub.ir.config import ModelConfig
from aprhub.ir.encoding import ENCODINGS, Encoding
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.ir.tensor import Tensor

_QUERY: Final = "attn.q.weight"
_KEY: Final = "attn.k.weight"
_VALUE: Final = "attn.v.weight"
_OUT: Final = "attn.o.weight"
_GATE: Final = "ffn.gate.weight"
_UP: Final = "ffn.up.weight"
_DOWN: Final = "ffn.down.weight"

_LAYER = re.compile(r"layers\.(\d+)\.(.+)")
_COARSE: Final = ("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs")
"""Encodings that are worthless without an importance matrix, in most tensors."""

_SMALLER_BLOCKS: Final[Mapping[str, str]] = {
    **dict.fromkeys((*_COARSE, "iq3_s", "iq4_xs"), "iq4_nl"),
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
class _Mixture:
    """The encoding of most matrices, and of those that have another.

    `needing` are those that need an importance matrix, besides the coarse ones; with
    `raises`, the value matrices of the largest models get more bits.
    """

    encoding: str
    others: Mapping[str, Choice] = {}
    embedding: str | None = None
    head: str = "q6_k"
    needing: str | None = None
    raises: bool = True


def _alone(*names: str) -> dict[str, _Mixture]:
    return {name: _Mixture(name) for name in names}


def _coarse(encoding: str, better: str, out: str | None, embedding: str) -> _Mixture:
    """Return a mixture of two bits or less; `better` is for what is sensitive."""
    others = {_VALUE: shared("q4_k", better), _DOWN: first(8, better)}
    if out:
        others[_OUT] = always(out)
    return _Mixture(encoding, others, embedding, head="q5_k", raises=False)


_IQ4: Final[Mapping[str, Choice]] = {
    _VALUE: shared("q5_k"),
    _DOWN: unless_weighed(first(8, "q5_k")),
}

MIXTURES: Final[Mapping[str, _Mixture]] = {
    **_alone("q4_1", "q5_1", "q8_0", "q6_k"),
    "q4_0": _Mixture("q4_0", {_DOWN: if_weighed(first(8, "q4_1"))}),
    "q5_0": _Mixture("q5_0", {_DOWN: if_weighed(first(8, "q5_1"))}),
    "iq1_s": _coarse("iq1_s", "q2_k", "iq2_xxs", "q2_k"),
    "iq1_m": _coarse("iq1_m", "q2_k", "iq2_xxs", "q2_k"),
    "iq2_xxs": _coarse("iq2_xxs", "q2_k", None, "q2_k"),
    "iq2_xs": _coarse("iq2_xs", "q2_k", None, "q2_k"),
    "iq2_s": _coarse("iq2_xs", "iq3_s", "iq3_s", "iq3_s"),
    "iq2_m": _coarse("iq2_s", "iq3_s", "iq3_s", "iq3_s"),
    "iq3_xxs": _Mixture(
        "iq3_xxs",
        {
            _VALUE: either(shared("q4_k"), unless_weighed(always("iq3_s"))),
            _DOWN: unless_weighed(first(8, "q4_k", "q3_k")),
            _OUT: always("iq3_s"),
            **dict.fromkeys((_QUERY, _KEY), always("iq2_s")),
        },
        embedding="iq3_s",
        head="q5_k",
    ),
    "iq3_xs": _Mixture(
        "iq3_s",
        {
            _VALUE: shared("q4_k"),
            **dict.fromkeys((_QUERY, _KEY), always("iq3_xxs")),
            **dict.fromkeys((_GATE, _UP), inner("iq3_xxs")),
        },
    ),
    "iq3_s": _Mixture("iq3_s", {_VALUE: shared("q4_k")}),
    "iq3_m": _Mixture(
        "iq3_s",
        {
            **dict.fromkeys((_VALUE, _OUT), always("q4_k")),
            _DOWN: first(8, "q4_k"),
        },
    ),
    "q2_k_s": _Mixture(
        "q2_k",
        {_VALUE: shared("q4_k"), _DOWN: first(8, "q4_k")},
        needing="q2_k",
    ),
    "q2_k": _Mixture(
        "q2_k",
        {
            _VALUE: shared("q4_k", "q3_k"),
            _DOWN: always("q3_k"),
            _OUT: always("q3_k"),
        },
    ),
    "q3_k_s": _Mixture("q3_k"),
    "q3_k_m": _Mixture(
        "q3_k",
        {
            _VALUE: first_layers(2, "q5_k", "q4_k"),
            _DOWN: first(16, "q5_k", "q4_k"),
            _OUT: always("q4_k"),
        },
    ),
    "q3_k_l": _Mixture("q3_k", dict.fromkeys((_VALUE, _DOWN, _OUT), always("q5_k"))),
    "q4_k_s": _Mixture(
        "q4_k", {_VALUE: first_layers(4, "q5_k"), _DOWN: first(8, "q5_k")}
    ),
    "q4_k_m": _Mixture("q4_k", dict.fromkeys((_VALUE, _DOWN), where_sensitive("q6_k"))),
    "q5_k_s": _Mixture("q5_k"),
    "q5_k_m": _Mixture("q5_k", dict.fromkeys((_VALUE, _DOWN), where_sensitive("q6_k"))),
    "iq4_nl": _Mixture("iq4_nl", _IQ4),
    "iq4_xs": _Mixture("iq4_xs", _IQ4),
    "tq1_0": _Mixture("tq1_0", embedding="q4_k"),
    "tq2_0": _Mixture("tq2_0", embedding="q4_k"),
}


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
        if mixture.lower() not in MIXTURES:
            known = ", ".join(sorted(MIXTURES))
            raise UsageError(f"no mixture is called {mixture!r} (known: {known})")
        pairs = tuple(map(_override, overrides))
        return cls(mixture.lower(), pairs, **options)

    def encoding(
        self, canonical: str, stored: str, tensor: Tensor, config: ModelConfig
    ) -> Encoding | None:
        """Return the encoding of a tensor, or None for one that is not quantised."""
        for pattern, name in self.overrides:
            if fnmatchcase(stored, pattern) or fnmatchcase(canonical, pattern):
                return ENCODINGS[name]
        if not _is_quantised(canonical, tensor):
            return None
        mixture, columns = MIXTURES[self.mixture], tensor.shape[-1]
        chosen = mixture.encoding
        if not self.pure:
            chosen = self._chosen(canonical, columns, config)
        return _fitting(chosen, columns)

    def needs_importance(self, canonical: str, encoding: Encoding) -> bool:
        """Return whether a tensor so encoded is refused without an importance matrix.

        The embedding and the head never are: what measures a matrix leaves them out.
        """
        needing = (*_COARSE, MIXTURES[self.mixture].needing)
        return canonical not in (EMBEDDING, HEAD) and encoding.name in needing

    def _chosen(self, canonical: str, columns: int, config: ModelConfig) -> str:
        mixture = MIXTURES[self.mixture]
        main = mixture.encoding
        tied = config.tie_embeddings and canonical == EMBEDDING
        if canonical == HEAD or tied:
            whole = columns % ENCODINGS[main].block_elements == 0
            return mixture.head if whole and main != "q8_0" else "q8_0"
        if canonical == EMBEDDING:
            return mixture.embedding or main
        found = _LAYER.fullmatch(canonical)
        if found is None:
            return main
        layer, role = int(found[1]), found[2]
        layers, sharing = config.num_layers or 1, _sharing(config)
        place = Place(layer, layers, sharing, self.weighed)
        other = mixture.others[role](place) if role in mixture.others else None
        chosen = other or main
        small = role == _VALUE and chosen in ("q3_k", "q4_k") and mixture.raises
        return "q5_k" if small and _is_70b(config) else chosen


def _override(text: str) -> tuple[str, str]:
    pattern, _, name = text.rpartition("=")
    if not pattern or name.lower() not in ENCODINGS:
        raise UsageError(f"{text!r} is not PATTERN=ENCODING (see 'aprhub codecs')")
    return pattern, name.lower()


def _is_quantised(canonical: str, tensor: Tensor) -> bool:
    """Return whether a tensor is a matrix that is multiplied, or the embedding."""
    is_matrix = len(tensor.shape) > 1 and canonical.endswith(".weight")
    changeable = tensor.encoding.is_float or tensor.encoding.is_quantized
    return is_matrix and changeable and not canonical.endswith("norm.weight")


def _sharing(config: ModelConfig) -> int:
    heads = config.num_heads or 1
    return heads // (config.num_kv_heads or heads)


def _is_70b(config: ModelConfig) -> bool:
    """Return whether eight heads share so little that more bits for it cost nothing."""
    grouped = config.family == "qwen2" or _sharing(config) > 1
    return grouped and config.family in ("llama", "qwen2") and config.num_layers == 80


def _fitting(name: str, columns: int) -> Encoding:
    if columns % ENCODINGS[name].block_elements:
        name = _SMALLER_BLOCKS.get(name, name)
    fits = columns % ENCODINGS[name].block_elements == 0
    return ENCODINGS[name if fits else "f16"]
