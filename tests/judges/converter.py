"""llama.cpp's own converter from HF folders to GGUF, the reference for the writer."""

import hashlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Literal

from tests.judges import assets, cache
from tests.judges.errors import JudgeError
from tests.judges.llama_api import RELEASE

NAME = "pico"
"""What models are called: llama.cpp takes one called Phi-3 for having other tokens."""

OutType = Literal["f32", "f16", "bf16", "q8_0", "auto"]


def converted(folder: Path, outtype: OutType = "f32") -> Path:
    """Return the GGUF file of a folder that never changes, converted once."""
    origin = f"{folder.resolve()} {outtype} {RELEASE} {NAME}"
    key = hashlib.sha256(origin.encode()).hexdigest()[:12]
    name = f"gguf-{folder.name}-{outtype}-{key}"
    made = cache.made(name, partial(_convert_into, folder, outtype))
    return made / "model.gguf"


def convert(folder: Path, target: Path, outtype: OutType = "f32") -> None:
    """Run `convert_hf_to_gguf.py`; raises JudgeError with its words when it fails."""
    tools = assets.llama_cpp()
    command = (
        sys.executable,
        str(tools / "convert_hf_to_gguf.py"),
        str(folder),
        f"--outfile={target}",
        f"--outtype={outtype}",
        f"--model-name={NAME}",
    )
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    result = subprocess.run(
        command, capture_output=True, text=True, env=offline, check=False
    )
    if result.returncode:
        raise JudgeError(f"convert_hf_to_gguf.py {folder} failed:\n{result.stderr}")


def _convert_into(folder: Path, outtype: OutType, made: Path) -> None:
    convert(folder, made / "model.gguf", outtype)
