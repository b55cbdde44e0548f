"""Quantising and dequantising, against llama.cpp's own quantiser and numpy."""

import ctypes
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from math import prod
from pathlib import Path

import numpy as np
from attrs import astuple, frozen
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from aprhub.api import ENCODINGS
from aprhub.testing.models import random_tensor
from aprhub_ggml import compiled, native
from scripts.bench.timing import Row, paired, remove

FILE_TYPES = {"Q4_K_M": 15, "Q6_K": 18, "Q8_0": 7}
"""What is measured, with the numbers of llama.cpp's `enum llama_ftype`."""

DECODED = (
    *("q4_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"),
    *("iq2_xxs", "iq3_s", "iq4_nl", "iq4_xs", "nvfp4"),
)
VALUES, COLUMNS, PART = 1 << 23, 4096, 1 << 19
"""How many are decoded, in a row, and in a part as a conversion has them."""

Blocks = NDArray[np.uint8]


def quantisings(work: Path, source: Path, runs: int) -> Iterator[Row]:
    """Yield each mixture made of an f16 GGUF, and one of them decoded again.

    llama.cpp's own rows are there where `llama-cpp-python` is installed.
    """
    aprhub: list[str | Path] = [sys.executable, "-m", "aprhub"]
    peer: list[str | Path] = [sys.executable, "-m", __name__]
    target = work / "quantised.gguf"
    for mixture, number in FILE_TYPES.items():
        ours = [*aprhub, "quantize", "-q", source, target, "--type", mixture]
        yield paired(f"f16 → {mixture}", ours, source, target, runs)
        if find_spec("llama_cpp"):
            theirs = [*peer, source, target, str(number)]
            yield paired(f"f16 → {mixture}: llama.cpp", theirs, source, target, runs)
    remove(target)
    small, wide = work / "small.gguf", work / "wide.gguf"
    yield from _decoding(aprhub, source, (small, wide), runs)
    remove(small)
    remove(wide)


def _decoding(
    aprhub: list[str | Path], source: Path, paths: tuple[Path, Path], runs: int
) -> Iterator[Row]:
    from aprhub import ConvertOptions, convert

    small, wide = paths
    convert(source, small, ConvertOptions(quantize="q4_k_m"))
    command = [*aprhub, "convert", "-q", small, wide, "--dtype", "bf16"]
    yield paired("Q4_K_M → bf16", command, small, wide, runs)


def kernels(models: Mapping[str, Path]) -> Iterator[list[str]]:
    """Yield encoding, GB/s of f32 by ggml and compiled, and how many times numpy's.

    The last rows are of all blocks together that each model has as Q4_K_M. What no
    loop is compiled for is ggml's in both columns of times.
    """
    rates = {name: _Rates.of(name) for name in DECODED}
    for name, found in rates.items():
        yield found.row(name)
    for what, source in models.items():
        shares = _shares(source)
        part = shares["q6_k"] / shares.total()
        yield _Rates.mean(rates, shares).row(f"Q4_K_M, {what}, {part:.0%} q6_k")


@frozen
class _Rates:
    """The seconds that a value takes on each road."""

    ggml: float
    compiled: float
    gguf: float

    @classmethod
    def of(cls, name: str) -> "_Rates":
        """Measure one encoding; the hub decodes in parts, the package by rows."""
        encoding = ENCODINGS[name]
        packed = random_tensor((VALUES,), encoding, seed=1).tobytes()
        blocks = np.frombuffer(packed, np.uint8).reshape(-1, encoding.block_bytes)
        rows, kind = blocks.reshape(-1, encoding.nbytes((COLUMNS,))), name.upper()
        ggml = _in_parts(partial(native.decode, name), blocks)
        fast = ggml
        if name in compiled.NAMES:
            fast = _in_parts(partial(compiled.decode, name), blocks)
        gguf = _best(partial(dequantize, rows, GGMLQuantizationType[kind]))
        return cls(ggml / VALUES, fast / VALUES, gguf / VALUES)

    @classmethod
    def mean(cls, rates: Mapping[str, "_Rates"], shares: Counter[str]) -> "_Rates":
        """Return what a value takes on average where each has so many."""
        sums = np.zeros(3)
        for name, count in shares.items():
            sums += count * np.array(astuple(rates[name]))
        return cls(*(sums / shares.total()).tolist())

    def row(self, what: str) -> list[str]:
        speeds = [f"{4 / each / 1e9:.1f}" for each in (self.ggml, self.compiled)]
        times = [f"{self.gguf / each:.1f}" for each in (self.ggml, self.compiled)]
        return [what, *speeds, *times]


def _in_parts(decode: Callable[[Blocks], object], blocks: Blocks) -> float:
    """Return the seconds to decode blocks as many at a time as a conversion does."""
    count = len(blocks) * PART // VALUES

    def all_parts() -> None:
        for low in range(0, len(blocks), count):
            decode(blocks[low : low + count])

    return _best(all_parts)


def _shares(source: Path) -> Counter[str]:
    """Return how many values of a model are in which blocks as Q4_K_M."""
    from aprhub import ConvertOptions, convert

    asked = ConvertOptions(quantize="q4_k_m", dry_run=True)
    shares: Counter[str] = Counter()
    for fate in convert(source, source.with_name("none.gguf"), asked).tensors:
        if fate.encoding in DECODED:
            shares[fate.encoding] += prod(fate.shape)
    return shares


def _best(function: Callable[[], object]) -> float:
    """Return the seconds of the best of some runs: what the machine can do."""
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Quantise a GGUF by llama.cpp, with as many threads as there are processors."""
    import llama_cpp  # type: ignore[import-not-found, unused-ignore]

    source, target, number = sys.argv[1:]
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = int(number)
    words = (source.encode(), target.encode(), ctypes.byref(options))
    if llama_cpp.llama_model_quantize(*words):
        raise SystemExit(f"llama.cpp refused {source}")


if __name__ == "__main__":
    main()
