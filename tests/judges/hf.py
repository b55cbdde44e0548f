"""transformers and tokenizers as judges: does an HF folder load, and what comes out?"""

import os
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tests.judges.errors import JudgeError

_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def logits(folder: str | Path, token_ids: Sequence[int]) -> NDArray[np.float32]:
    """Return the logits of every position, shape (tokens, vocabulary), all in f32.

    Raises JudgeError when a weight of the model is missing from the folder, left
    over or of another shape: transformers would go on with random numbers.
    """
    import torch

    with torch.inference_mode():
        output = model(Path(folder))(torch.tensor([list(token_ids)]), use_cache=False)
    computed: NDArray[np.float32] = output.logits[0].numpy()
    return computed


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


def model(folder: Path) -> Any:
    """Return a folder's model in f32, ready to run; raises as `logits` does."""
    loaded, report = transformers().AutoModelForCausalLM.from_pretrained(
        folder,
        dtype="float32",
        attn_implementation="eager",
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    faults = {kind: names for kind, names in report.items() if names}
    if faults:
        raise JudgeError(f"transformers loads {folder} with faults: {faults}")
    return loaded.eval()


@cache
def transformers() -> Any:
    """Return the library, silent and offline; its functions have no types."""
    os.environ.update(_OFFLINE)
    library: Any = import_module("transformers")
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    return library
