"""Weights of Hugging Face folders that are packed: codes and their scales apart."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from aprhub.api import Packing, PackingClaim, StoredModel, Tensor, hookimpl

_TITLES: Final = {
    "awq": "AWQ, 4-bit",
    "bitsandbytes": "bitsandbytes int8, NF4 and FP4",
    "compressed-tensors": "compressed-tensors, integers and floats",
    "fp8": "FP8 with scales",
    "gptq": "GPTQ, 2 to 8 bits",
    "mxfp4": "MXFP4 of experts, as gpt-oss has it",
}


_SCHEMES: Final = ("w4a16", "w8a16", "w8a8", "fp8_dynamic")


def _unpack(method: str, stored: StoredModel, claim: PackingClaim) -> StoredModel:
    from aprhub_packed.unpacking import unpack

    return unpack(method, stored, claim)


def _pack(scheme: str, weight: Tensor) -> Tensor:
    from aprhub_packed.packing import pack

    return pack(scheme, weight)


def _claim(scheme: str, kept: Sequence[str]) -> PackingClaim:
    from aprhub_packed.packing import claim

    return claim(scheme, kept)


@hookimpl
def provide_packings() -> Iterable[Packing]:
    """Return one packing for each `quant_method`."""
    for method, title in _TITLES.items():
        unpack = partial(_unpack, method)
        if method == "compressed-tensors":
            yield Packing(method, title, unpack, _SCHEMES, _pack, _claim)
        else:
            yield Packing(method, title, unpack)
