"""Records what mergekit makes of the small merges.

`python -m tests.judges.record_merges > tests/plugins/merge/mergekit.json` needs the
package `mergekit`; what is recorded is from its release 0.1.5. Where it draws lots, it
is given the random numbers that aprhub draws for the same elements, so that the rest
of the arithmetic can be compared.
"""

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from aprhub.api import Piece, Settings, Tensor
from aprhub.merging.blending import Operands
from aprhub_merge.chance import start, uniform
from tests.judges.merge_cases import CASES, SHAPES, Case, tensors
from tests.plugins.merge.groups import KEY


def main() -> None:
    """Print the merged tensors as JSON, by case and shape: f32 in base64."""
    found = {
        case.name: {shape: _encoded(_merged(case, shape)) for shape in SHAPES}
        for case in CASES
    }
    json.dump(found, sys.stdout, indent=1)


def _encoded(values: NDArray[np.float32]) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _merged(case: Case, shape: str) -> NDArray[np.float32]:
    from mergekit.merge_methods.api import (  # type: ignore[import-not-found, unused-ignore]
        merge_tensors,
    )

    models, base = tensors(case, shape)
    inputs = [*([] if base is None else [base]), *models]
    parameters: dict[str, Any] = {**case.shared, **case.own}
    with _same_lots(models[0].shape):
        result = merge_tensors(
            [*map(torch.from_numpy, inputs)],
            case.method,
            parameters=parameters,
            base_index=None if base is None else 0,
        )
    merged: NDArray[np.float32] = result.numpy()
    return merged


@contextmanager
def _same_lots(shape: tuple[int, ...]) -> Iterator[None]:
    zeros = np.zeros(shape, np.float32)
    group = Operands.of([Tensor.of(zeros)], None, Settings(), KEY)
    piece = Piece(0, (zeros.reshape(-1, shape[-1]),))
    drawn = iter(range(len(CASES)))

    def bernoulli(chances: torch.Tensor) -> torch.Tensor:
        numbers = uniform(start(group, next(drawn)), piece)
        return torch.from_numpy(
            numbers.reshape(chances.shape) < chances.numpy()
        ).float()

    with mock.patch.object(torch, "bernoulli", bernoulli):
        yield


if __name__ == "__main__":
    main()
