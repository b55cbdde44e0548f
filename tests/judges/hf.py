"""transformers and tokenizers as judges: does an HF folder load, and what comes out?"""

from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from aprhub.judges.hf import logits, logits_of, model, transformers

__all__ = ["logits", "logits_of", "model", "tokenize", "transformers"]


def tokenize(
    source: str | Path, text: str, *, special: bool = True, add_special: bool = False
) -> list[int]:
    """Return the ids of `text`; `source` is a tokenizer.json or its folder.

    The two switches mean what they mean to the llama.cpp judge.
    """
    path = Path(source)
    path = path / "tokenizer.json" if path.is_dir() else path
    tokenizer = _tokenizer(path, path.stat().st_mtime_ns)
    tokenizer.encode_special_tokens = not special
    ids: list[int] = tokenizer.encode(text, add_special_tokens=add_special).ids
    return ids


@lru_cache(maxsize=4)
def _tokenizer(path: Path, _modified: int) -> Tokenizer:
    return Tokenizer.from_file(str(path))
