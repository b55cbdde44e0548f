"""Measures aprhub against `cp` of the same bytes, and against llama.cpp's converter.

Every figure is a ratio within this run: each run of a command is paired with a `cp` of
what it wrote, caches warm, memory touched and given back before each. Two `cp` runs
against each other are the control: how far the machine itself wavers.
"""

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from attrs import frozen

from tests.judges import assets

START_UP = 0.3
"""Seconds that the bars allow for starting a process."""

SHAPES = {
    "1 GB": {"hidden": 896, "layers": 24, "heads": 14, "kv": 2, "ffn": 4864},
    "4 GB": {"hidden": 2048, "layers": 24, "heads": 16, "kv": 2, "ffn": 11008},
}
VOCABULARY = 151936


@frozen
class Timing:
    """Seconds and peak memory in MiB of one process."""

    seconds: float
    memory: float


@frozen
class Row:
    """Pairs of a command and `cp`, as the table shows them."""

    what: str
    output: int
    pairs: Sequence[tuple[Timing, Timing]]

    @property
    def ratio(self) -> float:
        """The median of command ÷ `cp`, pair by pair."""
        return statistics.median(ours.seconds / cp.seconds for ours, cp in self.pairs)

    @property
    def bounded_ratio(self) -> float:
        """The same without the start-up that the bar allows."""
        return statistics.median(
            (ours.seconds - START_UP) / cp.seconds for ours, cp in self.pairs
        )

    def cells(self) -> list[str]:
        """Return the row of the table."""
        ours = statistics.median(pair[0].seconds for pair in self.pairs)
        cp = statistics.median(pair[1].seconds for pair in self.pairs)
        peak = max(pair[0].memory for pair in self.pairs)
        return [
            self.what,
            f"{self.output / 1e9:.2f}",
            f"{ours:.2f}",
            f"{cp:.2f}",
            f"{self.ratio:.2f}",
            f"{self.bounded_ratio:.2f}",
            f"{peak:.0f}",
        ]


HEADER = ["what", "GB", "s", "cp s", "ratio", "ratio less 0.3 s", "RSS MiB"]


LAUNCHER = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_maxrss / 1024, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Starts a command from a small process: a child's peak memory counts its parent's."""


def timed(command: Sequence[str | Path]) -> Timing:
    """Run a command to its end and return its time and peak memory."""
    words = [sys.executable, "-S", "-c", LAUNCHER, *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(words[4:])}\n{done.stderr}")
    seconds, memory = done.stderr.splitlines()[-1].split()
    return Timing(float(seconds), float(memory))


def settle(source: Path, nbytes: int = 3 << 30) -> None:
    """Read a source into the cache; touch and give back memory.

    A host may have taken what was freed.
    """
    files = source.rglob("*") if source.is_dir() else [source]
    subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)
    code = f"import numpy; numpy.ones({nbytes // 8}); "
    subprocess.run([sys.executable, "-c", code], check=True)


def paired(
    what: str, command: Sequence[str | Path], source: Path, output: Path, runs: int
) -> Row:
    """Run a command and a `cp` of its output in turn, and return the pairs."""
    pairs = []
    copy = output.with_name(output.name + ".cp")
    for _ in range(runs):
        remove(output)
        settle(source)
        ours = timed(command)
        settle(output)
        pairs.append((ours, timed(["cp", "-r", output, copy])))
        remove(copy)
    return Row(what, size(output), pairs)


def control(path: Path, runs: int) -> Row:
    """Return `cp` against `cp`."""
    pairs = []
    copies = [path.with_name(f"{path.name}.cp{number}") for number in range(2)]
    for _ in range(runs):
        both = []
        for copy in copies:
            settle(path)
            both.append(timed(["cp", "-r", path, copy]))
            remove(copy)
        pairs.append((both[0], both[1]))
    return Row("control: cp", size(path), pairs)


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())


def remove(path: Path) -> None:
    """Remove a file or folder that may be there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def make_model(folder: Path, shape: dict[str, int], tokenizer: Path) -> Path:
    """Write a Qwen2-shaped bf16 folder with arbitrary finite weights, one file."""
    folder.mkdir(parents=True)
    for file in tokenizer.glob("*.json"):
        shutil.copy(file, folder)
    (folder / "config.json").write_text(json.dumps(config(shape)))
    table, position = {}, 0
    for name, dims in weights(shape):
        stop = position + 2 * int(np.prod(dims))
        table[name] = {"dtype": "BF16", "shape": dims, "data_offsets": [position, stop]}
        position = stop
    head = json.dumps(table).encode()
    head += b" " * (-len(head) % 64)
    with (folder / "model.safetensors").open("wb") as weights_file:
        weights_file.write(struct.pack("<Q", len(head)) + head)
        fill(weights_file.write, position)
    return folder


def fill(write: Callable[[bytes], object], count: int) -> None:
    """Write bf16 values of a normal distribution, repeated every 64 MiB."""
    values = np.random.default_rng(0).standard_normal(1 << 25, np.float32) * 0.02
    block = (values.view("<u4") >> 16).astype("<u2").tobytes()
    while count:
        write(block[: min(count, len(block))])
        count -= min(count, len(block))


def config(shape: dict[str, int]) -> dict[str, object]:
    """Return the `config.json` of a shape."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": shape["hidden"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv"],
        "intermediate_size": shape["ffn"],
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "bos_token_id": 151643,
        "eos_token_id": 151645,
    }


def weights(shape: dict[str, int]) -> Iterator[tuple[str, list[int]]]:
    """Yield names and shapes in the order of the file."""
    hidden, ffn = shape["hidden"], shape["ffn"]
    shared = hidden // shape["heads"] * shape["kv"]
    yield "model.embed_tokens.weight", [VOCABULARY, hidden]
    for layer in range(shape["layers"]):
        at = f"model.layers.{layer}."
        for name, rows in (("q", hidden), ("k", shared), ("v", shared)):
            yield f"{at}self_attn.{name}_proj.weight", [rows, hidden]
            yield f"{at}self_attn.{name}_proj.bias", [rows]
        yield at + "self_attn.o_proj.weight", [hidden, hidden]
        yield at + "mlp.gate_proj.weight", [ffn, hidden]
        yield at + "mlp.up_proj.weight", [ffn, hidden]
        yield at + "mlp.down_proj.weight", [hidden, ffn]
        yield at + "input_layernorm.weight", [hidden]
        yield at + "post_attention_layernorm.weight", [hidden]
    yield "model.norm.weight", [hidden]


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
    half = work / "half.gguf"
    cast = [*aprhub, source, half, "--dtype", "f16"]
    yield paired(f"{label}: HF bf16 → GGUF f16", cast, source, half, min(runs, 3))
    for path in (gguf, apr, back, half):
        remove(path)


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


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first to the right."""
    rule = ["---", *("--:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def main() -> None:
    """Measure and print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--sizes", nargs="*", default=list(SHAPES))
    options.add_argument("--no-peer", action="store_true")
    chosen = options.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="aprhub-bench-") as name:
        work = Path(name)
        quick = [
            [what, f"{seconds:.3f}", f"{memory:.0f}"]
            for what, seconds, memory in start_up(work, chosen.runs)
        ]
        for label in chosen.sizes:
            tokenizer = assets.tokenizer("qwen3")
            source = make_model(work / "source", SHAPES[label], tokenizer)
            found = list(conversions(work, source, label, chosen.runs))
            if label == "1 GB" and not chosen.no_peer:
                found.append(peer(work, source, chosen.runs))
            rows += [row.cells() for row in found]
            remove(source)
    print(table(["command", "s", "RSS MiB"], quick), "\n")
    print(table(HEADER, rows))


if __name__ == "__main__":
    main()
