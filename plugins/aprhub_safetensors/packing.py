"""What `config.json` says of how quantised weights are stored."""

from collections.abc import Mapping
from typing import Final

from aprhub.api import ENCODINGS, Document, PackingClaim, Tensor, decoded_json
from aprhub_safetensors.config import scope_of
from aprhub_safetensors.spelling import as_text, torch_dtype
from aprhub_safetensors.tables import TORCH_DTYPES

KEY: Final = "quantization_config"
METHOD: Final = "quant_method"
_ENCODINGS: Final = {dtype: name for name, dtype in TORCH_DTYPES.items()}


def claiming(text: str, claim: PackingClaim) -> str:
    """Return the text of a `config.json` that says how weights are packed, too."""
    return as_text({**decoded_json(text), KEY: dict(claim.settings)})


def read_claim(
    document: Document, tensors: Mapping[str, Tensor]
) -> PackingClaim | None:
    """Return what the key says, or None when there is none.

    The float type is that of the configuration, or the one that most tensors have.
    Raises CorruptFileError where the method is not named.
    """
    scope = scope_of(document)
    section = scope.section(KEY)
    if section is None:
        return None
    method = section.text(METHOD)
    if method is None:
        raise section.fault(METHOD, "the name of the method that packed the weights")
    dtype = scope.text("dtype") or scope.text("torch_dtype")
    native = _ENCODINGS.get(dtype or torch_dtype(tensors) or "")
    return PackingClaim(
        method,
        section.values,
        section.prefix[:-1],
        ENCODINGS[native] if native else None,
    )
