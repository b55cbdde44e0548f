"""Real models there and back: bytes where nothing is computed, logits where it is."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import aprhub
from tests.end_to_end.roads import (
    comparable,
    convert,
    stored_hashes,
    tokenizer_of,
)
from tests.judges import assets, hf
from tests.judges.compare import divergences
from tests.judges.corpus import STRINGS
from tests.judges.llama import Llama
from tests.judges.pico import PROMPTS

MODELS: dict[str, Callable[[], Path]] = {
    "smollm2": assets.smollm2,
    "gemma3": assets.gemma3,
}
STORABLE_IN_APR = ("F32", "F16", "BF16", "Q4_K", "Q6_K")


class Journey:
    """One model and everything that it was converted to, each once."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.gguf = source
        self.apr = folder / "m.apr"
        self.gguf_from_apr = folder / "from-apr.gguf"
        self.hf = folder / "hf"
        self.gguf_from_hf = folder / "from-hf.gguf"
        self.apr_from_hf = folder / "from-hf.apr"
        self.hf_from_apr = folder / "hf-from-apr"
        # Names only: the tests below judge values and ids, with other programs.
        convert(self.gguf, self.apr, verify="names")
        convert(self.apr, self.gguf_from_apr, verify="names")
        convert(self.gguf_from_apr, self.hf, dtype="bf16", verify="names")
        convert(self.hf, self.gguf_from_hf, verify="names")
        convert(self.hf, self.apr_from_hf, verify="names")
        convert(self.apr_from_hf, self.hf_from_apr, verify="names")


@pytest.fixture(scope="module", params=MODELS)
def journey(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Journey]:
    folder = tmp_path_factory.mktemp(request.param)
    yield Journey(MODELS[request.param](), folder)
    shutil.rmtree(folder)  # some gigabytes, which pytest would keep to the end


def logits(gguf: Path) -> list[NDArray[np.float32]]:
    with Llama.load(gguf) as judge:
        return [
            judge.logits(judge.tokenize(text, add_special=True)) for text in PROMPTS
        ]


def test_a_copy_is_the_same_model_to_the_bit(journey: Journey, tmp_path: Path) -> None:
    convert(journey.gguf, tmp_path / "copy.gguf")
    assert stored_hashes(tmp_path / "copy.gguf") == stored_hashes(journey.gguf)
    for ours, theirs in zip(
        logits(tmp_path / "copy.gguf"), logits(journey.gguf), strict=True
    ):
        assert np.array_equal(ours, theirs)


def test_quantised_bytes_survive_apr_where_it_can_hold_them(journey: Journey) -> None:
    before, after = stored_hashes(journey.gguf), stored_hashes(journey.gguf_from_apr)
    kept = {
        name: digest
        for name, digest in before.items()
        if digest.split(":")[0] in STORABLE_IN_APR
    }
    assert before.keys() == after.keys()
    assert kept
    assert {name: after[name] for name in kept} == kept


def test_decoded_tensors_keep_every_value(journey: Journey) -> None:
    assert aprhub.diff(journey.gguf, journey.gguf_from_apr).is_empty


def test_the_folder_runs_and_agrees_with_llama_cpp(journey: Journey) -> None:
    with Llama.load(journey.gguf_from_hf) as judge:
        prompts = [judge.tokenize(text, add_special=True) for text in PROMPTS]
        found = [judge.logits(ids) for ids in prompts]
    for ours, theirs in zip(found, hf.logits_of(journey.hf, prompts), strict=True):
        assert divergences(ours, theirs).mean() < 0.001


def test_the_folder_is_the_same_again_after_apr(journey: Journey) -> None:
    assert aprhub.diff(journey.hf, journey.hf_from_apr).is_empty
    for name in ("config.json", "tokenizer.json"):
        before, after = (
            json.loads((each / name).read_text())
            for each in (journey.hf, journey.hf_from_apr)
        )
        assert before == after


def test_token_ids_are_equal_everywhere(journey: Journey) -> None:
    from_apr = tokenizer_of(journey.apr)
    with Llama.load(journey.gguf, vocab_only=True) as judge:
        for text in STRINGS:
            ids = hf.tokenize(journey.hf, text)
            assert from_apr.encode(text, add_special_tokens=False).ids == ids, text
            if comparable(journey.gguf.name, text):
                assert judge.tokenize(text) == ids, text
