"""Records NF4 as bitsandbytes encodes it.

`python -m tests.judges.record_nf4` writes `tests/unit/training/recorded/`: a matrix,
its codes, the scales of its blocks and what they are decoded to. It needs
`bitsandbytes` 0.50.2.
"""

from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file

FILE: Final = Path(__file__).parents[1] / "unit/training/recorded/nf4.safetensors"
ROWS, COLUMNS = 32, 128
"""Blocks of 64 end with rows: where they do not, its kernel for CPUs is wrong."""


def main() -> None:
    """Write the file."""
    from bitsandbytes import functional

    torch.manual_seed(7)
    matrix = torch.randn(ROWS, COLUMNS) * 0.05
    # Blocks of 64 with weights half way between two levels, just below and just above.
    levels = functional.get_4bit_type("nf4", device="cpu")
    middles = (levels[1:] + levels[:-1]) / 2
    blocks = matrix.view(-1, 64)
    for block, towards in zip(blocks, (0.0, -9.0, 9.0), strict=False):
        near = torch.nextafter(middles, torch.tensor(towards)) if towards else middles
        block[:16] = torch.cat((torch.ones(1), near))
    codes, state = functional.quantize_4bit(matrix, blocksize=64, quant_type="nf4")
    tensors = {
        "matrix": matrix,
        "codes": codes.flatten(),
        "scales": state.absmax,
        "levels": state.code,
        "decoded": functional.dequantize_4bit(codes, state),
    }
    FILE.parent.mkdir(exist_ok=True)
    save_file(tensors, FILE, {"tool": "bitsandbytes 0.50.2"})


if __name__ == "__main__":
    main()
