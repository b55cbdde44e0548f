"""Where a model is trained, and how fast that place could be."""

from collections.abc import Mapping
from typing import Final

import torch

from aprhub.errors import EnvironmentFailureError
from aprhub.place import ALONE, Place

NO_CUDA: Final = "FALSIFY-APR-PRETRAIN-INIT-CUDA-001"
"""The rule that a device that was asked for and is not there ends the run."""

PEAKS: Final[Mapping[str, float]] = {
    "B200": 2.25e15,
    "H200": 9.89e14,
    "H100 PCIe": 7.56e14,
    "H100": 9.89e14,
    "A100": 3.12e14,
    "L40S": 3.62e14,
    "A10": 1.25e14,
    "L4": 1.21e14,
}
"""Operations per second in bf16, dense, by a part of the name: NVIDIA's data sheets.

The first that fits counts."""


def device_of(word: str, place: Place = ALONE) -> torch.device:
    """Return the device of a word; `auto` takes a GPU where there is one.

    Of several processes, each on one machine takes the GPU of its own number.

    Raises EnvironmentFailureError for a GPU that is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if word == "auto":
        word = "cuda" if count else "cpu"
    if word == "cuda" and place.world > 1:
        word = f"cuda:{place.local_rank}"
    device = torch.device(word)
    if device.type == "cuda" and (device.index or 0) >= count:
        found = f"this machine has {count} CUDA devices that torch {torch.__version__}"
        raise EnvironmentFailureError(
            f"{NO_CUDA}: --device {word}: {found} can use; nothing was trained, and"
            " nothing is trained elsewhere unasked: ask for --device auto or cpu"
        )
    return device


def peak_of(device: torch.device) -> float | None:
    """Return the operations per second that a device is sold for, where known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS.items() if part in name), None)
