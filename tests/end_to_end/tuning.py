"""Conversations that a small model learns in seconds, and the command that does it."""

from pathlib import Path

from tests.judges.pico import pico
from tests.unit.corpus.texts import lines


def base() -> Path:
    """Return the folder of the model that is tuned."""
    return pico("llama-spm")


def write_sums(place: Path) -> None:
    """Write a hundred sums, as conversations and as texts."""
    sums = ((one, two) for one in range(10) for two in range(10))
    pairs = [
        {"prompt": f"What is {one} plus {two}?", "completion": f"It is {one + two}."}
        for one, two in sums
    ]
    lines(place / "sums.jsonl", pairs)
    texts = ({"text": f"{each['prompt']} {each['completion']}"} for each in pairs)
    lines(place / "texts.jsonl", texts)


def tuned(
    place: Path, name: str, *more: object, start: Path | None = None
) -> list[object]:
    """Return the words of twenty small steps on conversations."""
    words = [
        *("--data", place / "sums.jsonl", "--run-dir", place / name, "--lr", 3e-3),
        *("--cache", place / "cache", "--num-steps", 20, "--steps-per-epoch", 10),
        *("--batch-size", 4, "--seq-len", 48, "--epochs", 9, "--device", "cpu"),
        *("--validation-fraction", 0.2, "--warmup-steps", 2),
    ]
    said = {str(word) for word in more}
    pairs = zip(words[::2], words[1::2], strict=True)
    kept = [word for pair in pairs if str(pair[0]) not in said for word in pair]
    return ["finetune", start or base(), *kept, *more]
