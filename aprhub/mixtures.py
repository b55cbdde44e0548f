"""Mixtures: which encoding each role of a quantised model gets.

They and their names are those of llama.cpp's quantiser: `llama_tensor_get_type_impl`
in `src/llama-quant.cpp`. Besides, there are APR's own two encodings, each for all but
the smallest matrices (the APR v2 specification, section 3.7), and the presets of
compressed-tensors, `compressed_tensors/quantization/quant_scheme.py`.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from aprhub.choices import (
    Choice,
    always,
    beside_experts,
    either,
    first,
    first_in_order,
    first_layers,
    if_of_eight,
    if_weighed,
    inner,
    of_eight,
    shared,
    unless_weighed,
    where_sensitive,
)

_QUERY: Final = "attn.q.weight"
KEY: Final = "attn.k.weight"
VALUE: Final = "attn.v.weight"
_OUT: Final = "attn.o.weight"
_GATE: Final = "ffn.gate.weight"
_UP: Final = "ffn.up.weight"
_DOWN: Final = "ffn.down.weight"

COARSE: Final = ("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs")
"""Encodings that are worthless without an importance matrix, in most tensors."""


@frozen
class Mixture:
    """The encoding of most matrices, and of those that have another.

    `needing` are those that need an importance matrix, besides the coarse ones; with
    `raises`, keys and values get more bits in the largest models and beside eight
    experts. With `dense`, the first is for experts only, and all else has that.
    Matrices of less than `smallest` elements stay as they are. With `packing`, matrices
    of layers are spread over several tensors by that method, and no other is quantised.
    """

    encoding: str
    others: Mapping[str, Choice] = {}
    embedding: str | None = None
    head: str = "q6_k"
    needing: str | None = None
    raises: bool = True
    dense: str | None = None
    smallest: int = 0
    packing: str | None = None


def _alone(*names: str) -> dict[str, Mixture]:
    return {name: Mixture(name) for name in names}


def _own(encoding: str) -> Mixture:
    """Return APR's mixture of one of its own encodings."""
    return Mixture(encoding, head=encoding, raises=False, smallest=1024)


def _coarse(encoding: str, better: str, out: str | None, embedding: str) -> Mixture:
    """Return a mixture of two bits or less; `better` is for what is sensitive."""
    others = {
        KEY: of_eight("q4_k"),
        VALUE: either(beside_experts(4, "q4_k"), shared("q4_k", better)),
        _DOWN: first_in_order(8, better),
        _OUT: of_eight("q5_k", out),
    }
    return Mixture(encoding, others, embedding, head="q5_k", raises=False)


_IQ4: Final[Mapping[str, Choice]] = {
    VALUE: shared("q5_k"),
    _DOWN: unless_weighed(first(8, "q5_k")),
    _OUT: of_eight("q5_k"),
}

MIXTURES: Final[Mapping[str, Mixture]] = {
    **_alone("q4_1", "q5_1", "q8_0", "q6_k"),
    "q4_0": Mixture("q4_0", {_DOWN: if_weighed(first(8, "q4_1"))}),
    "q5_0": Mixture("q5_0", {_DOWN: if_weighed(first(8, "q5_1"))}),
    "iq1_s": _coarse("iq1_s", "q2_k", "iq2_xxs", "q2_k"),
    "iq1_m": _coarse("iq1_m", "q2_k", "iq2_xxs", "q2_k"),
    "iq2_xxs": _coarse("iq2_xxs", "q2_k", None, "q2_k"),
    "iq2_xs": _coarse("iq2_xs", "q2_k", None, "q2_k"),
    "iq2_s": _coarse("iq2_xs", "iq3_s", "iq3_s", "iq3_s"),
    "iq2_m": _coarse("iq2_s", "iq3_s", "iq3_s", "iq3_s"),
    "iq3_xxs": Mixture(
        "iq3_xxs",
        {
            VALUE: either(shared("q4_k"), unless_weighed(always("iq3_s"))),
            _DOWN: unless_weighed(first(8, "q4_k", "q3_k")),
            _OUT: of_eight("q5_k", "iq3_s"),
            **dict.fromkeys((_QUERY, KEY), always("iq2_s")),
        },
        embedding="iq3_s",
        head="q5_k",
    ),
    "iq3_xs": Mixture(
        "iq3_s",
        {
            VALUE: shared("q4_k"),
            _OUT: of_eight("q5_k"),
            **dict.fromkeys((_QUERY, KEY), always("iq3_xxs")),
            **dict.fromkeys((_GATE, _UP), inner("iq3_xxs")),
        },
    ),
    "iq3_s": Mixture("iq3_s", {VALUE: shared("q4_k"), _OUT: of_eight("q5_k")}),
    "iq3_m": Mixture(
        "iq3_s",
        {
            VALUE: always("q4_k"),
            _DOWN: either(first(8, "q4_k"), if_of_eight(where_sensitive("q4_k"))),
            _OUT: of_eight("q5_k", "q4_k"),
        },
    ),
    "q2_k_s": Mixture(
        "q2_k",
        {VALUE: shared("q4_k"), _DOWN: first(8, "q4_k")},
        needing="q2_k",
    ),
    "q2_k": Mixture(
        "q2_k",
        {
            VALUE: shared("q4_k", "q3_k"),
            _DOWN: always("q3_k"),
            _OUT: of_eight("q5_k", "q3_k"),
        },
    ),
    "q3_k_s": Mixture("q3_k", {_OUT: of_eight("q5_k")}),
    "q3_k_m": Mixture(
        "q3_k",
        {
            VALUE: first_layers(2, "q5_k", "q4_k"),
            _DOWN: first(16, "q5_k", "q4_k"),
            _OUT: of_eight("q5_k", "q4_k"),
        },
    ),
    "q3_k_l": Mixture(
        "q3_k",
        {
            **dict.fromkeys((VALUE, _DOWN), always("q5_k")),
            _OUT: of_eight(None, "q5_k"),
        },
    ),
    "q4_k_s": Mixture(
        "q4_k",
        {
            VALUE: first_layers(4, "q5_k"),
            _DOWN: first(8, "q5_k"),
            _OUT: of_eight("q5_k"),
        },
    ),
    "q4_k_m": Mixture(
        "q4_k",
        {
            **dict.fromkeys((VALUE, _DOWN), where_sensitive("q6_k")),
            _OUT: of_eight("q5_k"),
        },
    ),
    "q5_k_s": Mixture("q5_k"),
    "q5_k_m": Mixture("q5_k", dict.fromkeys((VALUE, _DOWN), where_sensitive("q6_k"))),
    "iq4_nl": Mixture("iq4_nl", _IQ4),
    "iq4_xs": Mixture("iq4_xs", _IQ4),
    "tq1_0": Mixture("tq1_0", embedding="q4_k"),
    "tq2_0": Mixture("tq2_0", embedding="q4_k"),
    "mxfp4_moe": Mixture("mxfp4", dense="q8_0"),
    "apr_q4": _own("apr_q4"),
    "apr_q8": _own("apr_q8"),
    **{
        name: Mixture(name, packing="compressed-tensors")
        for name in ("w4a16", "w8a16", "w8a8", "fp8_dynamic")
    },
}

ALIASES: Final[Mapping[str, str]] = {
    "q3_k": "q3_k_m",
    "q4_k": "q4_k_m",
    "q5_k": "q5_k_m",
    "q4": "apr_q4",
    "q8": "apr_q8",
}
"""Shorter names: llama.cpp's, and the APR format's."""
