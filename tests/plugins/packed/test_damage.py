"""Damaged files of packed weights are refused, or read as other numbers; no more."""

from itertools import chain
from pathlib import Path

import pytest

from aprhub.api import AprhubError
from aprhub.testing.damage import damaged
from tests.plugins.packed.changes import RECORDED, opened

CASES = (
    "awq-gemm",
    "bitsandbytes-nf4-nested",
    "compressed-int4-zeros",
    "fp8-block",
    "gptq-3-act-order",
)


def values_of(path: Path) -> int:
    """Return how many values all tensors have, after computing each."""
    return sum(each.numpy().size for each in opened(path).tensors.values())


@pytest.mark.parametrize("case", CASES)
def test_damage_raises_nothing_but_our_errors(case: str, tmp_path: Path) -> None:
    data = (RECORDED / f"{case}.safetensors").read_bytes()
    path = tmp_path / "damaged.safetensors"
    header = 8 + int.from_bytes(data[:8], "little")
    refused = 0
    for each in chain(
        damaged(data, range(header, len(data))), damaged(data, range(header))
    ):
        path.write_bytes(each)
        try:
            values_of(path)
        except AprhubError:
            refused += 1

    assert refused
