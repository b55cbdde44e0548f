"""How a tensor is stored in an APR file."""

from aprhub.api import ENCODINGS, Encoding, Tensor, UnrepresentableError
from aprhub_apr.tables import TYPE_IDS


def encoding_for(name: str, tensor: Tensor) -> Encoding:
    """Return the tensor's own encoding where the format has it, else f32.

    Vectors of floats are always f32: programs that run APR files read norms as f32
    without looking at their type. Raises UnrepresentableError for whole numbers that
    the format has no type for.
    """
    encoding = tensor.encoding
    if encoding.is_float and len(tensor.shape) < 2:
        return ENCODINGS["f32"]
    if encoding.name in TYPE_IDS:
        return encoding
    if encoding.is_float or encoding.is_quantized:
        return ENCODINGS["f32"]
    what = f"APR has no type for {encoding.name}; write a Hugging Face folder instead"
    raise UnrepresentableError(name, what)
