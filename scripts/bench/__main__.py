"""Measures aprhub against `cp` of the same bytes, and against other programs.

Every figure is a ratio within this run: each run of a command is paired with a `cp` of
what it wrote, caches warm, memory touched and given back before each. Two `cp` runs
against each other are the control: how far the machine itself wavers.
"""

import argparse
import json
import os
import statistics
import struct
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from scripts.bench import adapters, merging
from scripts.bench.models import LARGE, SHAPES, WHOLE_BLOCKS, make_model
from scripts.bench.timing import (
    HEADER,
    Row,
    control,
    paired,
    reading,
    remove,
    table,
    timed,
)
from tests.judges import assets


def conversions(work: Path, source: Path, label: str, runs: int) -> Iterator[Row]:
    """Yield the three conversions that change no encoding, and one that does."""
    aprhub: list[str | Path] = [sys.executable, "-m", "aprhub", "convert", "-q"]
    gguf, apr, back = work / "m.gguf", work / "m.apr", work / "back"
    yield control(source, runs)
    for what, start, stop in (
        (f"{label}: HF → GGUF bf16", source, gguf),
        (f"{label}: GGUF → APR", gguf, apr),
        (f"{label}: APR → HF", apr, back),
    ):
        yield paired(what, [*aprhub, start, stop], start, stop, runs)
    yield from stamps(work, (gguf, apr), label, runs)
    yield from checks((source, gguf, apr), label, runs)
    half = work / "half.gguf"
    cast = [*aprhub, source, half, "--dtype", "f16"]
    yield paired(f"{label}: HF bf16 → GGUF f16", cast, source, half, min(runs, 3))
    for path in (gguf, apr, back, half):
        remove(path)


def stamps(work: Path, sources: Iterable[Path], label: str, runs: int) -> Iterator[Row]:
    """Yield a stamped copy of each file: its metadata anew, its tensors copied."""
    aprhub: list[str | Path] = [sys.executable, "-m", "aprhub", "stamp"]
    for source in sources:
        target = work / f"stamped{source.suffix}"
        command = [*aprhub, source, "-o", target, "--license", "MIT", "--json"]
        what = f"{label}: stamp {source.suffix.removeprefix('.').upper()}"
        yield paired(what, command, source, target, runs)
        remove(target)


def checks(sources: Sequence[Path], label: str, runs: int) -> Iterator[Row]:
    """Yield reading every byte of each file, and the last beside the first."""
    aprhub: list[str | Path] = [sys.executable, "-m", "aprhub"]
    for source in sources:
        what = f"{label}: validate {source.suffix.removeprefix('.').upper() or 'HF'}"
        yield reading(what, [*aprhub, "validate", source], source, runs)
    first, *_, last = sources
    both = [*aprhub, "verify", first, last]
    yield reading(f"{label}: verify APR, of HF", both, last, runs)


def peer(work: Path, source: Path, runs: int) -> Row:
    """Return llama.cpp's own converter, on the same model."""
    target = work / "peer.gguf"
    script = assets.llama_cpp() / "convert_hf_to_gguf.py"
    options: list[str | Path] = ["--outtype", "bf16", "--outfile", target]
    command = [sys.executable, script, source, *options]
    return paired("1 GB: convert_hf_to_gguf.py", command, source, target, min(runs, 3))


def start_up(work: Path, runs: int) -> Iterator[tuple[str, float, float]]:
    """Yield name, median seconds and peak MiB of what should be instant."""
    sparse = work / "sparse.safetensors"
    count = 10**12
    head = json.dumps(
        {"weight": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}
    ).encode()
    sparse.write_bytes(struct.pack("<Q", len(head)) + head)
    os.truncate(sparse, 8 + len(head) + count)
    aprhub = [sys.executable, "-m", "aprhub"]
    for what, words in (
        ("--version", ["--version"]),
        ("--help", ["--help"]),
        ("inspect, 1 TB sparse safetensors", ["inspect", sparse]),
    ):
        found = [timed([*aprhub, *map(str, words)]) for _ in range(max(runs, 5))]
        median = statistics.median(each.seconds for each in found)
        yield what, median, max(each.memory for each in found)
    remove(sparse)


def quantisings(work: Path, runs: int) -> tuple[list[Row], list[list[str]]]:
    """Return the rows of quantising and decoding an f16 GGUF of whole super-blocks."""
    from aprhub import ConvertOptions, convert
    from scripts.bench import quantising

    folder = make_model(work / "source", WHOLE_BLOCKS, assets.tokenizer("qwen3"))
    source = work / "f16.gguf"
    convert(folder, source, ConvertOptions(dtype="f16"))
    remove(folder)
    rows = list(quantising.quantisings(work, source, runs))
    large = make_model(work / "large", LARGE, assets.tokenizer("qwen3"), sparse=True)
    decoded = list(quantising.kernels({"1 GB": source, "8B": large}))
    remove(large)
    remove(source)
    return rows, decoded


def conversions_of(work: Path, label: str, options: argparse.Namespace) -> list[Row]:
    """Return the rows of one size."""
    tokenizer = assets.tokenizer("qwen3")
    source = make_model(work / "source", SHAPES[label], tokenizer)
    found = list(conversions(work, source, label, options.runs))
    if label == "1 GB" and not options.no_peer:
        found.append(peer(work, source, options.runs))
    remove(source)
    return found


def main() -> None:
    """Measure and print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--sizes", nargs="*", default=list(SHAPES))
    options.add_argument("--no-peer", action="store_true")
    options.add_argument("--no-quantise", action="store_true")
    options.add_argument("--no-adapters", action="store_true")
    options.add_argument("--no-merges", action="store_true")
    options.add_argument("--no-training", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="aprhub-bench-") as name:
        work = Path(name)
        quick = [
            [what, f"{seconds:.3f}", f"{memory:.0f}"]
            for what, seconds, memory in start_up(work, chosen.runs)
        ]
        print(table(["command", "s", "RSS MiB"], quick), "\n", flush=True)
        converted = [
            row for label in chosen.sizes for row in conversions_of(work, label, chosen)
        ]
        print(table(HEADER, [row.cells() for row in converted]), "\n", flush=True)
        if not chosen.no_quantise:
            found, decoded = quantisings(work, min(chosen.runs, 3))
            print(table(HEADER, [row.cells() for row in found]), "\n", flush=True)
            titles = [
                "decoding",
                "ggml GB/s",
                "jit GB/s",
                "times numpy: ggml",
                "jit",
            ]
            print(table(titles, decoded), "\n", flush=True)
        if not chosen.no_adapters:
            rows = adapters.merges(work, min(chosen.runs, 3))
            print(table(["1 GB, an adapter of rank 64", "s", "RSS MiB"], rows), "\n")
        if not chosen.no_merges:
            rows = merging.merges(work, min(chosen.runs, 3))
            print(table(["two models of 1 GB", "s", "RSS MiB"], rows), "\n")
        if not chosen.no_training:
            from scripts.bench import training

            print(table(training.HEADER, training.speeds(work, chosen.runs)))


if __name__ == "__main__":
    main()
