"""FP8 weights with a scale for the whole, for each row, or for each block.

A value is the stored float times its scale, under whichever of two names the scale has.
Source: `integrations/finegrained_fp8.py` of transformers.
"""

from collections.abc import Callable
from typing import Final

from aprhub.api import Tensor
from aprhub_packed.grid import Scaled, stored_grid, stored_rows
from aprhub_packed.parts import SCALES, Parts
from aprhub_packed.settings import Settings

NAMES: Final = ("weight_scale_inv", "weight_scale")
PARTS: Final = ("weight", *NAMES)
SPARE: Final = (
    *("activation_scale", "input_scale", "output_scale"),
    *("q_scale", "k_scale", "v_scale", "kv_scale"),
)
TYPES: Final = ("f8_e4m3", "f8_e5m2")


def reader(settings: Settings) -> Callable[[Parts], Tensor]:
    """Return what makes a weight of its parts."""
    block = settings.sizes("weight_block_size")
    blocks = (block,) if block else ()

    def weight(parts: Parts) -> Tensor:
        codes = parts.take("weight", TYPES)
        names = [name for name in NAMES if name in parts]
        if len(names) > 1:
            what = f"is there, and {names[1]} as well, expected one of both"
            raise parts.fault(names[0], what)
        parts.take(names[0], SCALES, ranks=(0, 1, 2))
        shape = (codes.shape[0], codes.shape[1])
        scales = stored_grid(parts, names[0], shape, *blocks)
        name = f"fp8 {codes.encoding.name.removeprefix('f8_')}, {scales}"
        return parts.weight(name, Scaled(stored_rows(codes), scales).values())

    return weight
