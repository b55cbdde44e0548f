"""The decoder against transformers: the same logits from the same weights."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import nn

from aprhub import Registry, open_model
from aprhub.decoder.model import Decoder
from aprhub.decoder.weights import loaded
from tests.end_to_end.roads import convert
from tests.judges import hf
from tests.judges.compare import Agreement, agreement
from tests.judges.pico import FAMILIES, PROMPTS, pico
from tests.judges.variants import CAP, VARIANTS, WINDOW, YARN, Variant

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the folders of variants are."""
    return tmp_path_factory.mktemp("variants")


@cache
def decoder_of(path: Path) -> Decoder:
    model = open_model(path)
    assert model.config.family
    return loaded(model, Registry.load().family(model.config.family)).decoder


@cache
def expected(folder: Path) -> tuple[list[int], NDArray[np.float32]]:
    ids = hf.tokenize(folder, PROMPTS[0], add_special=True)
    return ids, hf.logits(folder, ids)


def compared(decoder: Decoder, folder: Path) -> Agreement:
    """Return how close a decoder comes to what transformers makes of a folder."""
    ids, logits = expected(folder)
    with torch.inference_mode():
        found: NDArray[np.float32] = decoder(torch.tensor([ids]))[0].numpy()
    return agreement(found, logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_computes_the_logits_of_transformers(family: str) -> None:
    found = compared(decoder_of(pico(family)), pico(family))

    assert found.within(TOLERANCE), found


@pytest.mark.parametrize(
    ("family", "suffix"),
    [
        ("gemma", ".apr"),
        ("gemma2", ".gguf"),
        ("gemma3", ".gguf"),
        ("llama-rope", ".gguf"),
        ("llama-spm", ".apr"),
        ("mistral", ".gguf"),
        ("mixtral", ".gguf"),
        ("phi3-long", ".gguf"),
        ("qwen3", ".apr"),
        ("qwen3_moe", ".apr"),
    ],
)
def test_other_formats_of_a_model_compute_the_same(
    family: str, suffix: str, tmp_path: Path
) -> None:
    convert(pico(family), tmp_path / f"m{suffix}")

    found = compared(decoder_of(tmp_path / f"m{suffix}"), pico(family))

    assert found.within(TOLERANCE), found


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_what_a_configuration_changes_changes_the_logits_as_in_transformers(
    variant: Variant, place: Path
) -> None:
    folder = variant.made(place)

    found = compared(decoder_of(folder), folder)

    assert found.within(TOLERANCE), found


@frozen
class Omission:
    """A model, and what is put in place of one attribute of parts of its decoder.

    `where` is how the names of these parts end; the decoder's own is empty.
    """

    model: str | Variant
    where: str
    attribute: str
    value: object

    def __str__(self) -> str:
        return f"{self.model}-{self.where or 'decoder'}-{self.attribute}"

    def folder(self, place: Path) -> Path:
        return (
            pico(self.model) if isinstance(self.model, str) else self.model.made(place)
        )

    def apply(self, decoder: Decoder) -> None:
        for name, module in decoder.named_modules():
            if name.endswith(self.where) and (self.where or not name):
                assert hasattr(module, self.attribute)
                setattr(module, self.attribute, self.value)


OMISSIONS = (
    Omission("qwen2", ".attn.q", "bias", None),
    Omission("qwen2", ".attn.v", "bias", None),
    Omission("qwen3", ".attn", "q_norm", nn.Identity()),
    Omission("qwen3", ".attn", "k_norm", nn.Identity()),
    Omission("llama-spm", ".attn.o", "bias", None),
    Omission("llama-spm", ".attn", "scale", 1.0),
    Omission("gemma", "", "embedding_scale", 1.0),
    Omission("gemma", ".ffn", "activation", nn.functional.silu),
    Omission("gemma2", "", "softcap", None),
    Omission("gemma2", ".attn", "softcap", None),
    Omission("gemma2", ".attn", "window", None),
    Omission("gemma3", "", "embedding_scale", 1.0),
    Omission("gemma3", ".attn.norm", "offset", 0.0),
    Omission("gemma3", ".attn", "post_norm", nn.Identity()),
    Omission("gemma3", ".ffn", "post_norm", nn.Identity()),
    Omission("gemma3", ".attn", "window", None),
    Omission("gemma3", ".ffn", "activation", nn.functional.silu),
    Omission("gemma3", "", "slides", [False] * 7),
    Omission(WINDOW, ".attn", "window", None),
    Omission(WINDOW, ".attn", "window", 13),
    Omission(CAP, "", "softcap", None),
    Omission(CAP, ".attn", "scale", 0.25),
)


@pytest.mark.parametrize("omission", OMISSIONS, ids=str)
def test_a_part_left_out_is_seen(omission: Omission, place: Path) -> None:
    folder = omission.folder(place)
    decoder = deepcopy(decoder_of(folder))

    omission.apply(decoder)

    assert not compared(decoder, folder).within(10 * TOLERANCE)


@pytest.mark.parametrize("model", ["llama-rope", YARN], ids=str)
def test_a_scaling_of_positions_left_out_is_seen(
    model: str | Variant, place: Path
) -> None:
    folder = pico(model) if isinstance(model, str) else model.made(place)
    plain = pico("llama" if isinstance(model, str) else model.family)
    decoder = deepcopy(decoder_of(folder))

    decoder.rotary = decoder_of(plain).rotary

    assert not compared(decoder, folder).within(10 * TOLERANCE)
