"""Weights of Hugging Face folders that are packed: codes and their scales apart."""

from collections.abc import Iterable
from functools import partial
from typing import Final

from aprhub.api import Packing, PackingClaim, StoredModel, hookimpl

_TITLES: Final = {
    "awq": "AWQ, 4-bit",
    "bitsandbytes": "bitsandbytes int8, NF4 and FP4",
    "compressed-tensors": "compressed-tensors, integers and floats",
    "fp8": "FP8 with scales",
    "gptq": "GPTQ, 2 to 8 bits",
}


def _unpack(method: str, stored: StoredModel, claim: PackingClaim) -> StoredModel:
    from aprhub_packed.unpacking import unpack

    return unpack(method, stored, claim)


@hookimpl
def provide_packings() -> Iterable[Packing]:
    """Return one packing for each `quant_method`."""
    for method, title in _TITLES.items():
        yield Packing(method, title, partial(_unpack, method))
