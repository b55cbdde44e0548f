"""transformers as a judge: whether it loads a folder, and what comes out."""

import os
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aprhub.errors import EnvironmentFailureError, JudgeError

_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def logits(folder: str | Path, token_ids: Sequence[int]) -> NDArray[np.float32]:
    """Return the logits of every position, shape (tokens, vocabulary), all in f32.

    Raises JudgeError when a weight of the model is missing from the folder, left
    over or of another shape: transformers would go on with random numbers.
    """
    return logits_of(folder, [token_ids])[0]


def logits_of(
    folder: str | Path, prompts: Iterable[Sequence[int]]
) -> list[NDArray[np.float32]]:
    """Return what `logits` does for each of some prompts; the model is loaded once."""
    judge = model(Path(folder))
    torch = import_module("torch")
    with torch.inference_mode():
        outputs = [judge(torch.tensor([list(ids)]), use_cache=False) for ids in prompts]
    return [each.logits[0].numpy() for each in outputs]


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
        raise JudgeError(
            f"transformers loads {folder} with faults; write it anew, or ask 'aprhub"
            f" validate' what is wrong with it: {faults!r:.400}"
        )
    return loaded.eval()


@cache
def transformers() -> Any:
    """Return the library, silent and offline; its functions have no types.

    Raises EnvironmentFailureError, with what to install, where it is not there.
    """
    missing = [name for name in ("torch", "transformers") if not find_spec(name)]
    if missing:
        raise EnvironmentFailureError(
            f"transformers is asked, and {' and '.join(missing)} missing:"
            " pip install 'aprhub[judges]'"
        )
    os.environ.update(_OFFLINE)
    library: Any = import_module("transformers")
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    return library
