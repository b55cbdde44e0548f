"""The text model in a model that sees, judged by transformers and llama.cpp."""

import json
import shutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from aprhub import open_model
from tests.end_to_end.roads import convert
from tests.judges import hf, spm
from tests.judges.llama import Llama
from tests.judges.packing import pack
from tests.judges.pico import pico
from tests.unit.cli.program import refused, run, succeed

IDS: Final = [1, *range(300, 340)]
SIZES: Final = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 128,
    "vocab_size": 2048,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
SPARSE: Final = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "model_type": "gemma3_text",
    "num_hidden_layers": 7,
    "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    "sliding_window": 16,
}
"""As `google/gemma-3-4b-it` has it: what its class assumes is not said."""
GEMMA: Final = {**SIZES, "sliding_window": 16, "query_pre_attn_scalar": 32}
VISION: Final = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
CONFIGS: Final[Mapping[str, tuple[str, dict[str, Any], str]]] = {
    "gemma3": ("Gemma3Config", GEMMA, "siglip_vision_model"),
    "sparse": ("Gemma3Config", {**SPARSE, "vocab_size": 2048}, "siglip_vision_model"),
    "mistral3": ("Mistral3Config", {**SIZES, "model_type": "mistral"}, "pixtral"),
    "llama": ("LlavaConfig", {**SIZES, "model_type": "llama"}, "clip_vision_model"),
}
CLASSES: Final = {
    "gemma3": "Gemma3ForCausalLM",
    "sparse": "Gemma3ForCausalLM",
    "mistral3": "MistralForCausalLM",
    "llama": "LlamaForCausalLM",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@cache
def made(name: str, place: Path) -> tuple[Path, NDArray[np.float32]]:
    """Return the folder of a small model with an eye, and its logits of a text."""
    torch: Any = import_module("torch")
    kind, text, vision = CONFIGS[name]
    config = getattr(hf.transformers(), kind)(
        text_config=text, vision_config={**VISION, "model_type": vision}
    )
    torch.manual_seed(0)
    model = hf.transformers().AutoModelForImageTextToText.from_config(config).float()
    with torch.no_grad():
        for each, values in model.named_parameters():
            scale = 1.0 if "embed" in each else values.shape[-1] ** -0.5
            # The norms of Gemma have one added to them.
            mean = "norm" in each and kind != "Gemma3Config"
            values.copy_(torch.randn(values.shape) * scale + mean)
    folder = place / name
    model.save_pretrained(folder)
    if name == "sparse":
        said = json.loads((folder / "config.json").read_text())
        del said["tie_word_embeddings"]
        said["text_config"] = SPARSE
        (folder / "config.json").write_text(json.dumps(said))
    (folder / "tokenizer.json").write_text(spm.trained(), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(spm.CONFIG))
    ids = torch.tensor([IDS])
    with torch.no_grad():
        logits = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return folder, logits[0].numpy()


def tensors(folder: Path) -> dict[str, NDArray[np.float32]]:
    return load_file(folder / "model.safetensors")


def renamed(folder: Path, target: Path) -> Path:
    """Copy a folder with the names that some versions of transformers save."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    names = {
        name: name.replace("language_model.model.", "model.language_model.").replace(
            "language_model.lm_head.", "lm_head."
        )
        for name in tensors(folder)
    }
    found = {names[name]: each for name, each in tensors(folder).items()}
    save_file(found, target / "model.safetensors", {"format": "pt"})
    return target


@pytest.mark.parametrize("is_renamed", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_text_model_has_the_logits_of_the_whole(
    name: str, is_renamed: bool, place: Path, tmp_path: Path
) -> None:
    folder, expected = made(name, place)
    if is_renamed:
        folder = renamed(folder, tmp_path / "renamed")

    for target in ("m.gguf", "m.apr", "text"):
        succeed("convert", folder, tmp_path / target, "--lossy")
    convert(tmp_path / "m.apr", tmp_path / "back")

    with Llama.load(tmp_path / "m.gguf") as judge:
        logits = judge.logits(IDS)
    spread = expected.std()
    for found in (logits, *(hf.logits(tmp_path / p, IDS) for p in ("text", "back"))):
        assert np.abs(found[:, : expected.shape[1]] - expected).max() <= 1e-3 * spread
    said = json.loads((tmp_path / "text" / "config.json").read_text())
    assert said["architectures"] == [CLASSES[name]]
    assert not {"text_config", "vision_config"} & said.keys()


def test_what_is_no_text_is_only_left_out_when_that_is_allowed(
    place: Path, tmp_path: Path
) -> None:
    folder, _ = made("gemma3", place)
    seeing = [n for n in tensors(folder) if not n.startswith("language_model.")]
    assert seeing

    told = refused(1, "convert", folder, tmp_path / "m.gguf")
    done = succeed("convert", folder, tmp_path / "m.gguf", "--lossy", "--json").json

    assert f"{len(seeing)} of {len(tensors(folder))} tensors have no place" in told
    assert "convert with --lossy to do without" in told
    gone = [each for each in done["tensors"] if "not in gemma3" in each["steps"]]
    assert {each["source"] for each in gone} == {*seeing}
    dropped = {each["key"] for each in done["keys"] if each["fate"] == "dropped"}
    assert "config.json/vision_config" in dropped
    assert "config.json/text_config" not in dropped
    keys = [each["key"] for each in done["keys"]]
    assert len(keys) == len({*keys})


def test_the_whole_stays_what_it_is_where_names_are_kept(
    place: Path, tmp_path: Path
) -> None:
    folder, _ = made("gemma3", place)

    succeed("convert", folder, tmp_path / "again", "--naming", "keep")

    assert tensors(tmp_path / "again").keys() == tensors(folder).keys()
    one, other = (
        json.loads((each / "config.json").read_text())
        for each in (folder, tmp_path / "again")
    )
    assert one == other


def test_a_text_model_that_nobody_knows_is_refused_as_a_whole(
    place: Path, tmp_path: Path
) -> None:
    folder = renamed(made("llama", place)[0], tmp_path / "unknown")
    said = json.loads((folder / "config.json").read_text())
    said["text_config"]["model_type"] = "cohere"
    (folder / "config.json").write_text(json.dumps(said))

    told = refused(1, "convert", folder, tmp_path / "m.gguf", "--lossy")

    assert "LlavaForConditionalGeneration" in told
    assert "known: gemma, " in told


def test_a_name_that_is_there_with_and_without_its_prefix_stays(
    place: Path, tmp_path: Path
) -> None:
    folder = renamed(made("llama", place)[0], tmp_path / "twice")
    found = tensors(folder)
    found["model.norm.weight"] = 2 * found["model.language_model.norm.weight"]
    save_file(found, folder / "model.safetensors", {"format": "pt"})

    told = refused(1, "convert", folder, tmp_path / "m.gguf")
    succeed("convert", folder, tmp_path / "m.apr", "--lossy")

    assert "model.language_model.norm.weight: no weight of llama is called so" in told
    norm = open_model(tmp_path / "m.apr").tensors["norm.weight"].numpy()
    np.testing.assert_array_equal(norm, found["model.norm.weight"])


def test_two_tensors_that_would_have_one_name_keep_theirs(
    place: Path, tmp_path: Path
) -> None:
    folder = renamed(made("llama", place)[0], tmp_path / "both")
    found = tensors(folder)
    found["language_model.model.norm.weight"] = found[
        "model.language_model.norm.weight"
    ]
    save_file(found, folder / "model.safetensors", {"format": "pt"})

    told = refused(1, "convert", folder, tmp_path / "m.gguf")

    for name in ("language_model.model.norm.weight", "model.language_model.norm."):
        assert name in told


@pytest.mark.parametrize("is_renamed", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_whole_is_shown_as_a_model_with_a_text_model(
    name: str, is_renamed: bool, place: Path, tmp_path: Path
) -> None:
    folder = made(name, place)[0]
    folder = renamed(folder, tmp_path / "renamed") if is_renamed else folder

    shown = succeed("inspect", folder, "--json").json
    listed = succeed("tensors", folder, "--json").json["tensors"]

    family = {"sparse": "gemma3", "mistral3": "mistral"}.get(name, name)
    assert shown["family"] == family
    assert {each["name"] for each in listed} == tensors(folder).keys()
    parts = {each["name"] for each in listed if not each["canonical"]}
    assert all("vision" in each or "projector" in each for each in parts)
    assert f"text model; {len(parts)} tensors are no part" in shown["notes"][-1]
    # Its class assumes as many tokens as the real one has.
    meant = "2048 rows, vocab_size is 262208" if name == "sparse" else "healthy"
    assert meant in run("doctor", folder).out


def test_what_is_wrong_with_a_text_model_is_found_and_not_cut_out(
    place: Path, tmp_path: Path
) -> None:
    folder = renamed(made("llama", place)[0], tmp_path / "wrong")
    said = json.loads((folder / "config.json").read_text())
    said["text_config"]["intermediate_size"] += 1
    (folder / "config.json").write_text(json.dumps(said))
    found = tensors(folder)
    del found["model.language_model.norm.weight"]
    save_file(found, folder / "model.safetensors", {"format": "pt"})

    told = run("doctor", folder, "--fix", "-o", tmp_path / "fixed")

    assert told.code == 1
    assert "DOC-SIZE-WRONG-001 intermediate_size: 97" in told.out
    assert "not repaired: only the text model would be written" in told.out
    assert "norm.weight: missing" in told.out
    assert not (tmp_path / "fixed").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["gemma3", "llama"])
def test_an_adapter_of_the_whole_goes_into_its_text_model(
    name: str, place: Path, tmp_path: Path
) -> None:
    torch: Any = import_module("torch")
    peft: Any = import_module("peft")
    folder, before = made(name, place)
    whole = hf.transformers().AutoModelForImageTextToText.from_pretrained(folder)
    saved = ["lm_head"] if name == "llama" else None
    config = peft.LoraConfig(
        r=2,
        target_modules=r".*language_model.*(q_proj|down_proj)",
        modules_to_save=saved,
    )
    tuned = peft.get_peft_model(whole, config)
    ids = torch.tensor([IDS])
    with torch.no_grad():
        for values in tuned.parameters():
            if values.requires_grad:
                values.add_(torch.randn(values.shape) * 0.05)
        expected = tuned.eval()(ids).logits[0].numpy()
    tuned.save_pretrained(tmp_path / "adapter")
    assert np.abs(expected - before).max() > 0.1 * before.std()

    adapter, text = tmp_path / "adapter", tmp_path / "text"
    out = ("-o", tmp_path / "merged", "--lossy")
    succeed("adapter", "merge", folder, adapter, *out)
    succeed("convert", folder, text, "--lossy")
    succeed("adapter", "merge", text, adapter, "-o", tmp_path / "text-merged")

    for target in ("merged", "text-merged"):
        found = hf.logits(tmp_path / target, IDS)
        np.testing.assert_allclose(found, expected, atol=1e-4 * expected.std())


@pytest.mark.parametrize("method", ["gptq", "fp8"])
def test_a_text_model_that_is_packed_is_unpacked(method: str, tmp_path: Path) -> None:
    alone, whole = tmp_path / "alone", tmp_path / "whole"
    pack(pico("llama-spm"), method, alone, tmp_path / "plain")
    shutil.copytree(alone, whole)
    weights = safetensors_torch().load_file(alone / "model.safetensors")
    prefixed = {f"language_model.{name}": each for name, each in weights.items()}
    safetensors_torch().save_file(prefixed, whole / "model.safetensors")
    text = json.loads((alone / "config.json").read_text())
    said = {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "quantization_config": text.pop("quantization_config"),
        "text_config": text,
    }
    (whole / "config.json").write_text(json.dumps(said))

    convert(alone, tmp_path / "alone-unpacked")
    words = ("convert", whole, tmp_path / "whole-unpacked", "--json")
    keys = [each["key"] for each in succeed(*words).json["keys"]]
    assert keys.count("config.json/quantization_config") == 1
    assert len(keys) == len({*keys})

    one, other = (tmp_path / f"{name}-unpacked" for name in ("alone", "whole"))
    np.testing.assert_array_equal(hf.logits(one, IDS), hf.logits(other, IDS))
    assert "quantization_config" not in json.loads((other / "config.json").read_text())


def safetensors_torch() -> Any:
    return import_module("safetensors.torch")
