"""In which encoding GGUF stores a tensor."""

from typing import Final

from aprhub.api import ENCODINGS, Encoding, Tensor

_F32: Final = ENCODINGS["f32"]
_BF16: Final = ENCODINGS["bf16"]

_WIDENED: Final = {
    "apr_q4": _F32,
    "apr_q8": _F32,
    "f8_e4m3": _BF16,
    "f8_e5m2": _BF16,
    "f8_e8m0": _BF16,
}
"""Encodings that GGUF lacks, and the smallest it has that holds all their values."""


_IN_F32: Final = (
    "_norm.weight",
    ".ffn_gate_inp.weight",
    ".ffn_gate_inp_shexp.weight",
)


def is_kept_in_f32(name: str, tensor: Tensor) -> bool:
    """Return whether ggml's kernels read a tensor as f32 only.

    Those are vectors, norms, what chooses experts, and whatever is no `.weight`: biases
    and scales. Source:
    `prepare_tensors` in `conversion/base.py` of llama.cpp.
    """
    is_vector = len(tensor.shape) < 2
    return is_vector or name.endswith(_IN_F32) or not name.endswith(".weight")


def encoding_for(name: str, tensor: Tensor) -> Encoding:
    """Return the encoding in which a tensor is stored: its own where possible.

    An f64 vector has to become f32, which loses; whether that may be is the hub's to
    say.
    """
    own = tensor.encoding
    if own.is_float and is_kept_in_f32(name, tensor):
        return _F32
    if own.is_quantized and name.endswith(_IN_F32):
        return _F32
    return _WIDENED.get(own.name, own)
