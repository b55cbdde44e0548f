"""Trains a small model on real prose, from nothing to a file that llama.cpp runs.

The text is the World English Bible, which is in the public domain; a package carries
it. The vocabulary is learnt from it first. The last word is llama.cpp's: it opens the
checkpoint, converted to GGUF, and goes on with the beginning of a sentence.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.judges.assets import prose
from tests.judges.llama import Llama

END = "<|endoftext|>"
VOCABULARY = 2048
STEPS = 300
BEGINNING = "And God said to the people,"
WORDS = 60
"""How many tokens llama.cpp goes on for."""

CONFIG = f"""\
family = "llama"
hidden_size = 128
num_layers = 4
num_heads = 4
num_kv_heads = 2
intermediate_size = 352
vocab_size = {VOCABULARY}
max_position_embeddings = 256
norm_eps = 1e-5
tie_embeddings = true
"""


def say(title: str) -> None:
    """Print the title of a step."""
    print(f"\n── {title}", flush=True)


def aprhub(work: Path, *words: str) -> None:
    """Show a command and run it in a folder; stop the demonstration if it fails."""
    print(f"\n$ aprhub {' '.join(words)}", flush=True)
    command = [sys.executable, "-m", "aprhub", *words]
    if subprocess.run(command, cwd=work, check=False).returncode:
        raise SystemExit("the command above failed")


def write_text(work: Path) -> None:
    """Write the text, which is downloaded if it was not yet."""
    text = prose()
    (work / "text").mkdir()
    (work / "text" / "web.txt").write_text(text, "utf-8")
    print(f"{len(text.encode())} bytes of text: {text[:60]}…")


def learn_vocabulary(work: Path) -> None:
    """Learn a byte-level BPE, as GPT-2 has it, from the text."""
    program = Tokenizer(models.BPE())
    program.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    program.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    program.train([str(work / "text" / "web.txt")], trainer)
    (work / "tokens").mkdir()
    program.save(str(work / "tokens" / "tokenizer.json"))
    settings = json.dumps({"bos_token": END, "eos_token": END})
    (work / "tokens" / "tokenizer_config.json").write_text(settings)


def train(work: Path) -> None:
    """Train the model, and convert its last checkpoint."""
    (work / "pico.toml").write_text(CONFIG)
    aprhub(
        work,
        *("pretrain", "--config", "pico.toml", "--tokenizer", "tokens"),
        *("--dataset", "text", "--cache", "cache", "--run-dir", "run"),
        *("--num-steps", str(STEPS), "--steps-per-epoch", "100", "--lr", "3e-3"),
        *("--batch-size", "16", "--seq-len", "128", "--validation-fraction", "0.02"),
        *("--data-license", "CC0-1.0", "--plot", "loss.png"),
    )
    aprhub(work, "convert", f"run/checkpoints/step-{STEPS:06}.apr", "pico.gguf")


def go_on(path: Path) -> str:
    """Return what llama.cpp makes of the beginning, sampled with a fixed seed."""
    random = np.random.default_rng(0)
    with Llama.load(path, n_ctx=256) as llama:
        ids = llama.tokenize(BEGINNING)
        for _ in range(WORDS):
            logits = llama.logits(ids)[-1].astype(np.float64) / 0.6
            shares = np.exp(logits - logits.max())
            ids.append(int(random.choice(len(shares), p=shares / shares.sum())))
    program = Tokenizer.from_file(str(path.parent / "tokens" / "tokenizer.json"))
    text: str = program.decode(ids)
    return text


def main() -> None:
    """Run in a temporary folder, which is removed but for the picture."""
    picture = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-train.png")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aprhub-demo-") as name:
        work = Path(name)
        say("real prose: the World English Bible, and a vocabulary learnt from it")
        write_text(work)
        learn_vocabulary(work)
        say("a Llama of a million parameters, from random weights")
        train(work)
        say("llama.cpp opens the converted checkpoint and goes on")
        print(go_on(work / "pico.gguf"))
        picture.write_bytes((work / "loss.png").read_bytes())
    print(f"\nThe losses are drawn in {picture.absolute()}.")
    print(f"Done in {time.monotonic() - start:.0f} s.")


if __name__ == "__main__":
    main()
