"""Records what mergekit makes of the small merges, and of whole models by recipes.

`python -m tests.judges.record_merges methods > tests/plugins/merge/mergekit.json` and
`… recipes > tests/end_to_end/merged.json` need the package `mergekit`; what is recorded
is from its release 0.1.5. Where it draws lots, it is given the random numbers that
aprhub draws for the same elements, so that the rest of the arithmetic can be compared.
"""

import base64
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

import aprhub
from aprhub.api import Piece, Settings, Tensor
from aprhub.merging.blending import Operands
from aprhub_merge.chance import start, uniform
from tests.judges.merge_cases import CASES, SHAPES, Case, tensors
from tests.judges.merge_recipes import RECIPES, digest, written
from tests.plugins.merge.groups import KEY


def main() -> None:
    """Print what was asked for as JSON."""
    json.dump({"methods": _methods, "recipes": _recipes}[sys.argv[1]](), sys.stdout)


def _methods() -> dict[str, dict[str, str]]:
    """Return the merged tensors, by case and shape: f32 in base64."""
    return {
        case.name: {shape: _encoded(_merged(case, shape)) for shape in SHAPES}
        for case in CASES
    }


def _recipes() -> dict[str, dict[str, list[float]]]:
    """Return the digests of the models that recipes give."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        written(Path())
        return {title: digest(_followed(text)) for title, text in RECIPES.items()}


def _followed(text: str) -> aprhub.ModelIR:
    from mergekit.config import (  # type: ignore[import-not-found, unused-ignore]
        MergeConfiguration,
    )
    from mergekit.merge import (  # type: ignore[import-not-found, unused-ignore]
        run_merge,
    )
    from mergekit.options import (  # type: ignore[import-not-found, unused-ignore]
        MergeOptions,
    )

    target = Path(tempfile.mkdtemp())
    wanted = MergeConfiguration.model_validate(yaml.safe_load(text))
    cache = tempfile.mkdtemp()
    options = MergeOptions(write_model_card=False, quiet=True, lora_merge_cache=cache)
    with contextlib.redirect_stdout(sys.stderr):
        run_merge(wanted, str(target), options)
    return aprhub.open_model(target)


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


@contextlib.contextmanager
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
