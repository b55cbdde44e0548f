"""Records what llama.cpp's own quantiser makes of the deep models.

`python -m tests.judges.record_quantised grouped odd > tests/end_to_end/quantised.json`,
and with `eight two fused > tests/end_to_end/quantised_experts.json`, needs the package
`llama-cpp-python`, which is compiled when it is installed; the recorded digests are
from its release 0.3.36.
"""

import ctypes
import json
import sys
import tempfile
from pathlib import Path

import aprhub
from tests.judges import deep
from tests.judges.tensor_digest import digest

FILE_TYPES = {
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
    "iq4_nl": 25,
    "iq4_xs": 30,
    "tq1_0": 36,
    "tq2_0": 37,
    "mxfp4_moe": 38,
}
"""The numbers of `enum llama_ftype`."""
PURE = ("q4_k_m", "q2_k")
ALIKE = ("q4_1", "q5_0", "q5_1", "iq4_nl", "tq1_0", "q5_k_s")
"""Mixtures that give experts and fused projections what others give them, too."""


def main() -> None:
    """Print the digests as JSON, by model and mixture."""
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        for model in sys.argv[1:]:
            source, target = Path(name, f"{model}.gguf"), Path(name, "quantised.gguf")
            aprhub.convert(deep.deep(model), source)
            left_out = ALIKE if model in deep.IDENTITIES else ("mxfp4_moe",)
            chosen = [mixture for mixture in FILE_TYPES if mixture not in left_out]
            cases = [(mixture, False) for mixture in chosen]
            cases += [(mixture, True) for mixture in PURE]
            found[model] = {}
            for mixture, pure in cases:
                _quantise(source, target, mixture, pure=pure)
                found[model][mixture + "+pure" * pure] = digest(target)
    json.dump(found, sys.stdout, indent=2)


def _quantise(source: Path, target: Path, mixture: str, *, pure: bool) -> None:
    import llama_cpp  # type: ignore[import-not-found, unused-ignore]

    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.pure = FILE_TYPES[mixture], pure
    words = (str(source).encode(), str(target).encode(), ctypes.byref(options))
    if llama_cpp.llama_model_quantize(*words):
        raise SystemExit(f"llama.cpp refused {mixture} of {source}")


if __name__ == "__main__":
    main()
