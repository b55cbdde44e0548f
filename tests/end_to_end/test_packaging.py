"""A checkpoint of a training has in it whatever its readers look for.

The rules are those of docs/training.md; PKG-07, everybody who writes a model against
everybody who reads one, is in `test_producers`.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, Final

import pytest
from attrs import evolve
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from aprhub import ConvertOptions, Registry, open_model, save_model
from aprhub.errors import UnrunnableError
from aprhub.testing.models import PICOS
from tests.health import raw
from tests.judges import apr_checker
from tests.judges.pico import pico
from tests.unit.cli.program import refused, run, succeed

ROWS: Final = 512
SIZES: Final = {
    "hidden_size": 64,
    "num_layers": 2,
    "num_heads": 4,
    "num_kv_heads": 2,
    "intermediate_size": 160,
    "vocab_size": ROWS,
    "max_position_embeddings": 256,
    "rope_theta": 20000.0,
    "norm_eps": 1e-5,
}
MARKS: Final = ("<|im_end|>", "<|endoftext|>", "</s>", "<s>")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a text, a tokenizer.json alone, and a checkpoint."""
    place = tmp_path_factory.mktemp("packaging")
    text = "\n\n".join(topics.values())[:50_000]
    (place / "text.txt").write_text(text, "utf-8")
    learn_tokens(place / "tokens", text, MARKS)
    lines = [f"{name} = {value}" for name, value in SIZES.items()]
    (place / "pico.toml").write_text("\n".join(['family = "llama"', *lines]))
    start = ("--config", place / "pico.toml", "--tokenizer", place / "tokens")
    shutil.copy(trained(place, "run", *start), place / "m.apr")
    return place


def learn_tokens(folder: Path, text: str, marks: tuple[str, ...]) -> None:
    """Write a byte-level BPE with these special tokens, and no other file."""
    program = Tokenizer(models.BPE())
    program.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    program.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=ROWS,
        special_tokens=list(marks),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    program.train_from_iterator([text], trainer)
    folder.mkdir()
    program.save(str(folder / "tokenizer.json"))


def trained(place: Path, name: str, *start: object) -> Path:
    """Train one small step, and return the checkpoint."""
    words = ("--dataset", place / "text.txt", "--run-dir", place / name)
    course = ("--num-steps", 1, "--batch-size", 2, "--seq-len", 32, "--device", "cpu")
    kept = ("--cache", place / "cache", "--validation-fraction", 0.3)
    done = succeed("pretrain", *words, *course, *kept, *start, "--json")
    return Path(done.json["checkpoint"])


def marks_of(path: Path) -> Mapping[str, int]:
    """Return the special tokens of a model, by role."""
    tokenizer = open_model(path).tokenizer
    assert tokenizer is not None
    return tokenizer.special_ids


def metadata(path: Path) -> Mapping[str, Any]:
    assert apr_checker.check(path) == []
    return apr_checker.read(path).metadata


def test_a_checkpoint_has_all_sizes_under_well_known_keys(place: Path) -> None:
    """PKG-01."""
    said = metadata(place / "m.apr")

    keys = {name: "rms_norm_eps" if name == "norm_eps" else name for name in SIZES}
    assert {name: said[key] for name, key in keys.items()} == SIZES


@pytest.mark.parametrize(
    "key", ["hidden_size", "num_layers", "num_heads", "intermediate_size"]
)
def test_a_size_that_is_missing_is_named(key: str, place: Path, tmp_path: Path) -> None:
    """PKG-02."""
    parts = raw.open_apr(place / "m.apr")
    parts.drop(key)
    raw.write_apr(parts, tmp_path / "m.apr")

    done = run("qa", tmp_path / "m.apr", "--json")

    reasons = " ".join(each["reason"] for each in done.json["gates"])
    assert done.code == 1
    assert f"{key}: not given by the file (C-03)" in reasons


def test_every_matrix_of_a_checkpoint_has_two_dimensions(place: Path) -> None:
    """PKG-03."""
    tensors = apr_checker.read(place / "m.apr").tensors

    vectors = [name for name, (_, shape, _) in tensors.items() if len(shape) != 2]
    assert len(vectors) == 5
    assert all("norm" in name for name in vectors)
    assert tensors["model.layers.0.mlp.up_proj.weight"][1] == (160, 64)


def test_the_tokenizer_is_inside_a_checkpoint_and_whole(place: Path) -> None:
    """PKG-04."""
    said = metadata(place / "m.apr")
    program = json.loads((place / "tokens/tokenizer.json").read_text("utf-8"))

    vocabulary = program["model"]["vocab"]
    assert said["tokenizer.vocabulary"] == sorted(vocabulary, key=vocabulary.get)
    assert said["tokenizer.merges"] == [" ".join(p) for p in program["model"]["merges"]]
    assert said["tokenizer.bos_token_id"] == vocabulary["<s>"]
    assert said["tokenizer.eos_token_id"] == vocabulary["</s>"]


@pytest.mark.parametrize(
    ("marks", "special_ids"),
    [
        (("<s>", "</s>"), {"bos": 0, "eos": 1}),
        (("<|begin_of_text|>", "<|end_of_text|>"), {"bos": 0, "eos": 1}),
        (("<|im_start|>", "<|im_end|>"), {"eos": 1}),
        (("<|im_end|>", "<|endoftext|>"), {"eos": 1}),
    ],
)
def test_special_tokens_are_known_by_their_names(
    marks: tuple[str, str],
    special_ids: Mapping[str, int],
    place: Path,
    tmp_path: Path,
) -> None:
    """PKG-05."""
    text = (place / "text.txt").read_text("utf-8")
    learn_tokens(tmp_path / "tokens", text[:2000], marks)
    start = ("--config", place / "pico.toml", "--tokenizer", tmp_path / "tokens")

    found = trained(place, tmp_path.name, *start)

    assert marks_of(found) == special_ids


def test_what_files_say_of_special_tokens_goes_before_their_names(
    place: Path, tmp_path: Path
) -> None:
    shutil.copytree(place / "tokens", tmp_path / "tokens")
    settings = json.dumps({"eos_token": "<|im_end|>"})
    (tmp_path / "tokens/tokenizer_config.json").write_text(settings)
    start = ("--config", place / "pico.toml", "--tokenizer", tmp_path / "tokens")

    found = trained(place, "told", *start)

    assert marks_of(found) == {"eos": 0}


def test_a_checkpoint_alone_is_enough(place: Path, tmp_path: Path) -> None:
    """PKG-06."""
    shutil.copy(place / "m.apr", tmp_path)

    with chdir(tmp_path):
        qa = succeed("qa", "m.apr", "--skip-golden-output", "--min-executed", 6)
        said = succeed("run", "m.apr", "The", "--max-tokens", 3, "--json").json

    assert "FAIL" not in qa.out
    assert len(said["ids"]) == 3
    assert [each.name for each in tmp_path.iterdir()] == ["m.apr"]


@pytest.mark.parametrize("suffix", [".apr", ".gguf"])
def test_a_model_without_what_programs_need_is_not_written(
    suffix: str, place: Path, tmp_path: Path
) -> None:
    """PKG-08."""
    model, target = open_model(place / "m.apr"), tmp_path / f"m{suffix}"

    with pytest.raises(UnrunnableError, match="tokenizer"):
        save_model(evolve(model, tokenizer=None), target)

    assert list(tmp_path.iterdir()) == []
    allowed = ConvertOptions(allow_unrunnable=True)
    save_model(evolve(model, tokenizer=None), target, allowed)


def test_a_class_is_that_of_the_source(place: Path) -> None:
    """PKG-09: a fallback to a Llama made checkpoints that nobody could go on from."""
    said = metadata(trained(place, "phi", "--init", pico("phi3")))

    assert said["hf_architecture"] == "Phi3ForCausalLM"
    assert said["hf_model_type"] == said["architecture"] == "phi3"


def test_a_class_that_nobody_knows_is_not_made_up(place: Path, tmp_path: Path) -> None:
    """PKG-09."""
    parts = raw.open_apr(place / "m.apr")
    parts.drop("hf_")
    parts.put("architecture", "weird_novel_arch")
    raw.write_apr(parts, tmp_path / "m.apr")

    words = ("--naming", "keep", "--allow-unrunnable")
    succeed("convert", tmp_path / "m.apr", tmp_path / "again.apr", *words)

    said = metadata(tmp_path / "again.apr")
    assert said["architecture"] == "weird_novel_arch"
    assert said.get("hf_architecture") is None


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("qwen2", {"hf_architecture": "Qwen2ForCausalLM", "hf_model_type": "qwen2"}),
        ("llama", {"hf_architecture": None, "hf_model_type": None}),
        ("mistral", {"hf_architecture": None, "hf_model_type": None}),
    ],
)
def test_a_word_that_two_families_share_makes_no_class(
    family: str, words: dict[str, str | None], place: Path, tmp_path: Path
) -> None:
    """PKG-09: ggml says llama of a Mistral, too, and qwen2 of nothing else."""
    save_model(PICOS[family].model(Registry.load()), tmp_path / "full.gguf")
    parts = raw.open_gguf(tmp_path / "full.gguf")
    parts.drop("aprhub.hf.", "general.name", "general.basename")
    source = tmp_path / "model.gguf"
    raw.write_gguf(parts, source)

    again = tmp_path / "again.apr"
    succeed("convert", trained(place, f"said-{family}", "--init", source), again)

    said = metadata(again)
    assert {key: said.get(key) for key in words} == words


def test_no_step_is_made_up(place: Path) -> None:
    """PKG-10: text that is used up, and a device that is not there, are errors."""
    words = ("pretrain", "--dataset", place / "text.txt", "--run-dir", place / "none")
    start = (*words, "--init", place / "m.apr", "--cache", place / "cache")
    much = ("--num-steps", 10**6, "--seq-len", 32, "--validation-fraction", 0.3)

    assert "GATE-CORPUS-PREFLIGHT" in refused(2, *start, *much)
    assert "INIT-CUDA-001" in refused(3, *start, "--device", "cuda:15")
    assert not (place / "none").exists()
