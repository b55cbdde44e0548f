"""Records what llama.cpp's own quantiser makes of the deep models and of Gemma 3.

`python -m tests.judges.record_quantised MODEL… > FILE`, with `grouped odd gemma3` for
`tests/end_to_end/quantised.json` and with `eight two fused` for
`quantised_experts.json`, needs the package `llama-cpp-python`, which is compiled when
it is installed; the recorded digests are from its release 0.3.36.
"""

import ctypes
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import aprhub
from tests.judges import assets, deep, importances
from tests.judges.tensor_digest import digest

FILE_TYPES: Final = {
    "q4_0": 2,
    "q4_1": 3,
    "q8_0": 7,
    "q5_0": 8,
    "q5_1": 9,
    "q2_k": 10,
    "q3_k_s": 11,
    "q3_k_m": 12,
    "q3_k_l": 13,
    "q4_k_s": 14,
    "q4_k_m": 15,
    "q5_k_s": 16,
    "q5_k_m": 17,
    "q6_k": 18,
    "iq2_xxs": 19,
    "iq2_xs": 20,
    "q2_k_s": 21,
    "iq3_xs": 22,
    "iq3_xxs": 23,
    "iq1_s": 24,
    "iq4_nl": 25,
    "iq3_s": 26,
    "iq3_m": 27,
    "iq2_s": 28,
    "iq2_m": 29,
    "iq4_xs": 30,
    "iq1_m": 31,
    "tq1_0": 36,
    "tq2_0": 37,
    "mxfp4_moe": 38,
}
"""The numbers of `enum llama_ftype`."""
PURE: Final = ("q4_k_m", "q2_k")
ALIKE: Final = ("q4_1", "q5_0", "q5_1", "iq4_nl", "tq1_0", "q5_k_s")
"""Mixtures that give experts and fused projections what others give them, too."""
WEIGHED_ALIKE: Final = ("q4_0", "q3_k_m", "q4_k_m", "iq4_xs", "iq3_m", "iq2_m")
"""Mixtures that experts and fused projections are given importance with."""
WEIGHED: Final = "+imatrix"
"""What is added to a mixture's name for one with an importance matrix."""


def main() -> None:
    """Print the digests as JSON, by model and mixture; null where it was refused."""
    found: dict[str, dict[str, str | None]] = {}
    with tempfile.TemporaryDirectory() as name:
        for model in sys.argv[1:]:
            source, target = Path(name, f"{model}.gguf"), Path(name, "quantised.gguf")
            # In a process of its own: two builds of ggml do not live in one.
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(prepare, model, source).result()
            found[model] = {
                case: digest(target) if _quantise(source, target, case) else None
                for case in _cases(model)
            }
    json.dump(found, sys.stdout, indent=2)


def prepare(model: str, target: Path) -> None:
    """Make the GGUF file that is quantised: Gemma's as bf16, made of its Q4_K_M."""
    if model == "gemma3":
        aprhub.convert(assets.gemma3(), target, aprhub.ConvertOptions(dtype="bf16"))
    else:
        aprhub.convert(deep.deep(model), target)


def _cases(model: str) -> Iterator[str]:
    if model in deep.IDENTITIES:
        yield from (each for each in FILE_TYPES if _is_for_parts(each))
        yield from (mixture + WEIGHED for mixture in WEIGHED_ALIKE)
    else:
        dense = [each for each in FILE_TYPES if each != "mxfp4_moe"]
        yield from dense
        yield from (mixture + WEIGHED for mixture in dense)
    yield from (f"{mixture}+pure" for mixture in PURE)


def _is_for_parts(mixture: str) -> bool:
    """Return whether experts and fused projections are tried with a mixture."""
    coarse = mixture.startswith(("iq1", "iq2", "iq3")) or mixture == "q2_k_s"
    return mixture not in ALIKE and not coarse


def _quantise(source: Path, target: Path, case: str) -> bool:
    """Quantise as a case says; return whether llama.cpp did it."""
    import llama_cpp  # type: ignore[import-not-found, unused-ignore]

    mixture, _, how = case.partition("+")
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.pure = FILE_TYPES[mixture], how == "pure"
    found = importances.entries(source) if how == "imatrix" else {}
    means = {name: np.ascontiguousarray(each.means) for name, each in found.items()}
    if means:
        options.imatrix = _array(llama_cpp.llama_model_imatrix_data, means)
    words = (str(source).encode(), str(target).encode(), ctypes.byref(options))
    return not llama_cpp.llama_model_quantize(*words)


def _array(kind: Any, given: Mapping[str, NDArray[np.float32]]) -> Any:
    """Return the entries as llama.cpp takes them, the last one empty."""
    array = (kind * (len(given) + 1))()
    for place, (name, means) in zip(array, given.items(), strict=False):
        data = means.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        place.name, place.data, place.size = name.encode(), data, means.size
    return array


if __name__ == "__main__":
    main()
