"""What llama.cpp's quantiser made of some models, and the same asked of aprhub."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

import aprhub
from tests.judges import importances
from tests.judges.record_quantised import WEIGHED, prepare

RECORDED: Final[dict[str, dict[str, str | None]]] = {
    model: found
    for file in ("quantised.json", "quantised_experts.json")
    for model, found in json.loads(
        Path(__file__).with_name(file).read_text("utf-8")
    ).items()
}
"""Digests by model and case; None where llama.cpp refused."""

REFUSED: Final = [
    (model, case)
    for model, found in RECORDED.items()
    for case, digest in found.items()
    if digest is None and model != "gemma3"
]

_PATIENT: Final = (
    *("iq1_s", "iq1_m", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs", "iq3_xs", "iq3_s"),
)
"""Mixtures with types that take ggml seconds; of the coarse ones two are left."""

_VARYING: Final = "iq1_m"
"""ggml's releases sum it up in another order: one block in thousands differs."""


def cases(*models: str, quick: tuple[str, ...] = ()) -> list[Any]:
    """Return models and cases as parameters; slow ones, or all but some, marked."""
    return [
        pytest.param(model, case, marks=[pytest.mark.slow] * _is_slow(case, quick))
        for model in models
        for case, digest in RECORDED[model].items()
        if digest and not case.startswith(_VARYING)
    ]


def _is_slow(case: str, quick: tuple[str, ...]) -> bool:
    mixture = case.partition("+")[0]
    return case not in quick if quick else mixture in _PATIENT


@frozen
class Sources:
    """The models as GGUF files, and importance matrices of them, made when needed."""

    folder: Path

    def of(self, model: str) -> Path:
        """Return a model."""
        path = self.folder / f"{model}.gguf"
        if not path.exists():
            prepare(model, path)
        return path

    def matrix(self, model: str) -> Path:
        """Return an importance matrix of a model."""
        path = self.folder / f"{model}-imatrix.gguf"
        if not path.exists():
            importances.write_gguf(path, importances.entries(self.of(model)))
        return path

    def options(self, model: str, case: str) -> aprhub.ConvertOptions:
        """Return what a case asks for."""
        mixture, _, how = case.partition("+")
        matrix = self.matrix(model) if case.endswith(WEIGHED) else None
        return aprhub.ConvertOptions(
            quantize=mixture, pure=how == "pure", imatrix=matrix
        )
