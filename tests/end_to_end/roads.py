"""Conversions through the public API, and how their outputs are compared."""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType
from numpy.typing import NDArray
from tokenizers import Tokenizer

import aprhub
from aprhub.decoder.weights import loaded
from aprhub.tokenizer import assembled
from tests.judges import gguf_c

TOLERANCE = 1e-3
"""Largest difference of two runtimes' logits, relative to their spread."""


def convert(source: Path, target: Path, **options: object) -> aprhub.Report:
    """Convert with options by name. Other programs judge, so nothing is verified."""
    return aprhub.convert(source, target, aprhub.ConvertOptions(**options))  # type: ignore[arg-type]  # names are checked by attrs


def own_logits(path: Path, ids: Sequence[int]) -> NDArray[np.float32]:
    """Return the logits of every position, (tokens, vocabulary), of our own decoder."""
    model = aprhub.open_model(path)
    family = aprhub.Registry.load().family(str(model.config.family))
    with torch.inference_mode():
        decoder = loaded(model, family).decoder
        found: NDArray[np.float32] = decoder(torch.tensor([list(ids)]))[0].numpy()
    return found


def stored_hashes(gguf: Path) -> Mapping[str, str]:
    """Return type and SHA-256 of each tensor, where llama.cpp's own reader sees it."""
    return {
        each.name: f"{GGMLQuantizationType(each.type_id).name}:{_sha256(gguf, each)}"
        for each in gguf_c.tensors(gguf)
    }


def _sha256(gguf: Path, place: gguf_c.Placed) -> str:
    with gguf.open("rb") as file:
        file.seek(place.offset)
        return hashlib.sha256(file.read(place.size)).hexdigest()


def tokenizer_of(path: Path) -> Tokenizer:
    """Return what aprhub reads from a file, in the library that judges."""
    model = aprhub.open_model(path)
    assert model.tokenizer is not None
    document = assembled(model.tokenizer).json
    assert document is not None
    return Tokenizer.from_str(document)


def comparable(family: str, text: str) -> bool:
    """Whether llama.cpp can agree: it normalises nothing, and has its own specials.

    Qwen composes characters (NFC), which no GGUF key expresses; llama.cpp takes `</s>`
    for a control token in any vocabulary, and joins Gemma's runs of U+2581.
    """
    if family.startswith("qwen"):
        return unicodedata.normalize("NFC", text) == text and "</s>" not in text
    return not family.startswith("gemma") or "\u2581" not in text
