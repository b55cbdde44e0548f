"""4-bit floats (E2M1), two to a byte, lower half first, with a scale for each group.

NVFP4 has groups of 16 and E4M3 scales, divided by a `weight_global_scale`; MXFP4 has
groups of 32 and scales that are powers of two, stored as biased exponents. Source:
`compressors/nvfp4` and `compressors/mxfp4` of the compressed-tensors package.
"""

from typing import Final

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from aprhub.api import ENCODINGS, Tensor
from aprhub_packed.grid import Grid, Scaled, stored_rows
from aprhub_packed.parts import Parts

_HALF: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
VALUES: Final = np.array((*_HALF, *(-value for value in _HALF)), np.float32)


def weight(parts: Parts) -> Tensor:
    """Return the weight that the parts mean, of the kind that they show."""
    codes = parts.take("weight_packed", ("u8",))
    shape = (codes.shape[0], 2 * codes.shape[1])
    kind = "nvfp4" if "weight_global_scale" in parts else "mxfp4"
    scales = _nvfp4(parts, shape) if kind == "nvfp4" else _mxfp4(parts, shape)

    def values(first: int, stop: int) -> NDArray[np.float32]:
        pairs = codes.sliced(first, stop).numpy()
        halves = np.stack((pairs & 15, pairs >> 4), axis=2)
        found: NDArray[np.float32] = VALUES[halves.reshape(-1, shape[1])]
        return found

    name = f"compressed-tensors {kind}, {scales}"
    return parts.weight(name, Scaled(values, scales).values())


def _nvfp4(parts: Parts, shape: tuple[int, int]) -> Grid:
    scale = _scale(parts, "f8_e4m3", shape, 16)
    parts.shaped("weight_global_scale", ("f32",), (1,))
    rows = stored_rows(scale)

    def numbers(first: int, stop: int) -> NDArray[np.float32]:
        whole: NDArray[np.float32] = parts.tensors["weight_global_scale"].numpy()
        return rows(first, stop) / whole

    return Grid(shape, (1, 16), numbers)


def _mxfp4(parts: Parts, shape: tuple[int, int]) -> Grid:
    exponents = _scale(parts, "u8", shape, 32)
    powers = evolve(exponents, encoding=ENCODINGS["f8_e8m0"])
    return Grid(shape, (1, 32), stored_rows(powers))


def _scale(parts: Parts, encoding: str, shape: tuple[int, int], width: int) -> Tensor:
    rows, columns = shape
    if columns % width:
        what = f"has {columns} codes in a row, expected a multiple of {width}"
        raise parts.fault("weight_packed", what)
    return parts.shaped("weight_scale", (encoding,), (rows, columns // width))
