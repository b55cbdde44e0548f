"""Folders: which files are read, and that none outside the folder ever is."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from aprhub.api import (
    Confidence,
    CorruptFileError,
    FileEvidence,
    InputError,
    MissingFileError,
    SamplingDefaults,
    StoredModel,
    UnsupportedFileError,
)
from aprhub_safetensors import SAFETENSORS
from tests.judges import assets
from tests.plugins.safetensors.disk import TOKENIZER, model_folder, packed, written

INDEX = "model.safetensors.index.json"
FIRST, SECOND = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))


def opened(path: Path) -> StoredModel:
    assert SAFETENSORS.open is not None
    return SAFETENSORS.open(path)


def recognised(path: Path) -> Confidence:
    return SAFETENSORS.confidence(FileEvidence.of(path))


def sharded(path: Path, **weight_map: str | None) -> Path:
    """Write a folder of two shards with tensors `a` and `b`; change the index."""
    names = {**{"a": FIRST, "b": SECOND}, **weight_map}
    index = {"weight_map": {k: v for k, v in names.items() if v is not None}}
    model_folder(path, model__safetensors=None)
    written(path / INDEX, json.dumps(index).encode())
    for name, file in {"a": FIRST, "b": SECOND}.items():
        array = np.full(3, ord(name), np.float32)
        safetensors.numpy.save_file({name: array}, path / file)
    return path


def test_a_folder_gives_tensors_texts_and_identity(tmp_path: Path) -> None:
    generation = b'{"eos_token_id": 2}'
    folder = model_folder(tmp_path / "m", generation_config__json=generation)

    model = opened(folder)

    assert recognised(folder) is Confidence.STRUCTURE
    assert list(model.tensors) == ["x"]
    assert model.config.identity.claims == ("LlamaForCausalLM", "llama")
    assert model.carried["hf"]["generation_config.json"] == generation.decode()
    assert model.config.family is None


def test_a_setting_that_nothing_can_be_drawn_with_is_named(tmp_path: Path) -> None:
    said = b'{"temperature": "0.6", "top_k": 20}'
    folder = model_folder(tmp_path / "m", generation_config__json=said)

    model = opened(folder)

    assert model.sampling == SamplingDefaults(top_k=20)
    note = (
        "generation_config.json: temperature is not a number that tokens can be drawn"
    )
    assert any(each.startswith(note) for each in model.notes)


def test_shards_are_joined_in_order(tmp_path: Path) -> None:
    model = opened(sharded(tmp_path / "m"))

    assert list(model.tensors) == ["a", "b"]
    assert model.tensors["b"].numpy().tolist() == [98.0] * 3


def test_the_index_stands_for_its_folder(tmp_path: Path) -> None:
    path = sharded(tmp_path / "m") / INDEX

    assert recognised(path) is Confidence.STRUCTURE
    assert list(opened(path).tensors) == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"b": None}, f"holds {SECOND}, which the index does not mention"),
        ({"ghost": FIRST}, "tensor 'ghost' is not in"),
        ({"b": FIRST}, "does not mention"),
        ({"a": SECOND, "b": FIRST}, "is not in"),
        ({"b": "model-00009-of-00009.safetensors"}, "no such file"),
        ({"b": "../m/" + SECOND}, "the name of a file in the folder expected"),
        ({"b": "/etc/passwd"}, "names of .safetensors files"),
        ({"b": "/tmp/x.safetensors"}, "the name of a file in the folder expected"),
        ({"b": "..\\x.safetensors"}, "the name of a file in the folder expected"),
        ({"b": "x\0.safetensors"}, "the name of a file in the folder expected"),
        ({"b": "config.json"}, "names of .safetensors files"),
        ({"b": ""}, "names of .safetensors files"),
        (
            {"b": "y" * 100_000 + ".safetensors"},
            "the name of a file in the folder expected",
        ),
    ],
)
def test_an_index_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, str | None], expected: str
) -> None:
    folder = sharded(tmp_path / "m", **change)

    with pytest.raises(InputError) as caught:
        opened(folder)

    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "index",
    [{}, [], {"weight_map": None}, {"weight_map": {}}, {"weight_map": {"a": 7}}],
)
def test_an_index_without_names_is_refused(tmp_path: Path, index: Any) -> None:
    folder = sharded(tmp_path / "m")
    written(folder / INDEX, json.dumps(index).encode())

    with pytest.raises(CorruptFileError, match="index"):
        opened(folder)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m")
    both = {"a": np.zeros(1, "f4"), "b": np.zeros(1, "f4")}
    safetensors.numpy.save_file(both, folder / SECOND)

    with pytest.raises(CorruptFileError, match="'a' is in another file"):
        opened(folder)


def test_a_tensor_that_the_index_does_not_name_is_refused(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m")
    more = {"b": np.zeros(1, "f4"), "extra": np.zeros(1, "f4")}
    safetensors.numpy.save_file(more, folder / SECOND)

    with pytest.raises(CorruptFileError, match=f"'extra' of {SECOND} is not mentioned"):
        opened(folder)


def test_shards_without_an_index_are_refused(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m")
    (folder / INDEX).unlink()

    with pytest.raises(MissingFileError, match=r"no model\.safetensors\.index\.json"):
        opened(folder)


def test_a_lone_shard_of_two_is_refused(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m")
    (folder / INDEX).unlink()
    (folder / SECOND).unlink()

    with pytest.raises(MissingFileError):
        opened(folder)


def test_a_shard_alone_can_be_looked_at(tmp_path: Path) -> None:
    model = opened(sharded(tmp_path / "m") / FIRST)

    assert list(model.tensors) == ["a"]
    assert any("one of 2 files" in note for note in model.notes)


def test_a_wrong_total_size_is_a_note(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m")
    index = json.loads((folder / INDEX).read_text())
    changed = {**index, "metadata": {"total_size": 7}}
    written(folder / INDEX, json.dumps(changed).encode())

    assert any("total_size is 7" in note for note in opened(folder).notes)


def link_outside(path: Path) -> None:
    other = path.parent.parent / "other.safetensors"
    other.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(other)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def link_to_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", [FIRST, "config.json", INDEX])
@pytest.mark.parametrize(
    "make", [link_outside, make_pipe, make_folder, link_to_itself, link_to_device]
)
def test_what_is_no_file_of_the_folder_is_refused(
    tmp_path: Path, name: str, make: Any
) -> None:
    folder = sharded(tmp_path / "m")
    make(folder / name)

    with pytest.raises(InputError, match=name):
        opened(folder)


def test_a_hub_cache_may_link_to_its_own_blobs(tmp_path: Path) -> None:
    cache = tmp_path / "models--org--name"
    snapshot = model_folder(cache / "snapshots" / "0123abc")
    blobs = cache / "blobs"
    blobs.mkdir()
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).rename(blobs / name[::-1])
        (snapshot / name).symlink_to(Path("../../blobs") / name[::-1])

    assert list(opened(snapshot).tensors) == ["x"]


def test_a_hub_cache_may_not_link_to_another_model(tmp_path: Path) -> None:
    other = model_folder(tmp_path / "models--org--other" / "snapshots" / "1")
    snapshot = model_folder(tmp_path / "models--org--name" / "snapshots" / "1")
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to(other / "model.safetensors")

    with pytest.raises(UnsupportedFileError, match="leads out of the folder"):
        opened(snapshot)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, "config.json: there is no config.json"),
        (b"", "config.json"),
        (b"[]", "expected a JSON object"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1, "a": 2}', "'a' is there twice"),
        (b'{"hidden_size": 1' + b"0" * 5000 + b"}", "not JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<html></html>", "HTML"),
        ({"architectures": []}, "architectures"),
        ({"architectures": [["LlamaForCausalLM"]]}, "architectures"),
        ({"architectures": "LlamaForCausalLM"}, "architectures"),
        ({"model_type": 7}, "model_type"),
        ({"hidden_size": -1}, "hidden_size: found -1, expected a whole number"),
        ({"hidden_size": 64.0}, "hidden_size"),
        ({"hidden_size": "64"}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"hidden_size": 2**70}, "hidden_size"),
        ({"hidden_size": 64, "n_embd": 65}, "the same as hidden_size, n_embd"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"rms_norm_eps": -1e-6}, "rms_norm_eps"),
        ({"rope_theta": float("inf")}, "rope_theta"),
        ({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6}}, "rope_theta"),
        ({"rope_scaling": "linear"}, "rope_scaling"),
        ({"rope_scaling": {"rope_type": "linear"}}, "rope_scaling.factor"),
        ({"rope_scaling": {"type": "llama3", "factor": 8.0}}, "low_freq_factor"),
        (
            {"model_type": "llama", "rope_scaling": {"rope_type": "quux"}},
            "rope_scaling.rope_type",
        ),
        ({"tie_word_embeddings": "true"}, "tie_word_embeddings"),
        ({"num_hidden_layers": 2, "layer_types": ["full_attention"]}, "layer_types"),
    ],
)
def test_a_broken_config_is_refused_by_name(
    tmp_path: Path, config: Any, expected: str
) -> None:
    folder = model_folder(tmp_path / "m", config__json=config)

    with pytest.raises(InputError) as caught:
        opened(folder)

    assert expected in str(caught.value)
    assert "config.json" in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "aprhub.json"])
def test_an_endless_text_is_not_read(tmp_path: Path, name: str) -> None:
    folder = model_folder(tmp_path / "m", **{name.replace(".", "__"): b"{}"})
    os.truncate(folder / name, 1 << 40)

    with pytest.raises(UnsupportedFileError, match=f"{name}: has {1 << 40} bytes"):
        opened(folder)


def test_infinity_where_nobody_looks_is_accepted(tmp_path: Path) -> None:
    config = b'{"model_type": "mamba2", "time_step_limit": [0.0, Infinity]}'
    folder = model_folder(tmp_path / "m", config__json=config)

    assert opened(folder).carried["hf"]["config.json"] == config.decode()


def test_remote_code_is_noted_and_stays_where_it_is(tmp_path: Path) -> None:
    config = {"model_type": "llama", "auto_map": {"AutoModel": "evil.Evil"}}
    folder = model_folder(
        tmp_path / "m", config__json=config, evil__py=b"raise SystemExit"
    )

    notes = " ".join(opened(folder).notes)

    assert "never run" in notes
    assert "'evil.py'" in notes


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth"])
def test_pickled_weights_are_refused_with_a_way_out(tmp_path: Path, name: str) -> None:
    folder = model_folder(tmp_path / "m", model__safetensors=None)
    written(folder / name, b"\x80\x04.")

    assert recognised(folder) is Confidence.STRUCTURE
    with pytest.raises(UnsupportedFileError, match="save them as safetensors"):
        opened(folder)


def test_a_pointer_in_place_of_a_shard_is_named(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "m")
    written(folder / SECOND, b"version https://git-lfs.github.com/spec/v1\n")

    with pytest.raises(UnsupportedFileError, match=rf"{SECOND}: a Git LFS pointer"):
        opened(folder)


def test_a_file_alone_has_no_claims(tmp_path: Path) -> None:
    path = model_folder(tmp_path / "m", config__json=None) / "model.safetensors"

    model = opened(path)

    assert list(model.tensors) == ["x"]
    assert model.config.identity.claims == ()


def test_a_file_takes_the_config_beside_it(tmp_path: Path) -> None:
    model = opened(model_folder(tmp_path / "m") / "model.safetensors")

    assert model.config.identity.hf_class == "LlamaForCausalLM"
    assert any("lie beside the file" in note for note in model.notes)


def test_metadata_nobody_knows_is_carried(tmp_path: Path) -> None:
    header = {"__metadata__": {"format": "pt", "step": "7"}}
    folder = model_folder(tmp_path / "m", model__safetensors=packed(header))

    model = opened(folder)

    assert model.carried["safetensors"]["metadata"] == {"step": "7"}
    assert {fate.key: fate.fate for fate in model.fates if "step" in fate.key} == {
        "__metadata__/step": "carried"
    }


def test_a_template_of_its_own_beats_the_one_in_the_settings(tmp_path: Path) -> None:
    folder = model_folder(
        tmp_path / "m",
        tokenizer__json=TOKENIZER,
        tokenizer_config__json={"bos_token": "<s>", "chat_template": "old"},
        chat_template__jinja=b"{{ new }}",
    )

    tokenizer = opened(folder).tokenizer

    assert tokenizer is not None
    assert tokenizer.json == json.dumps(TOKENIZER)
    assert tokenizer.special_ids["bos"] == 2
    assert tokenizer.chat_template == "{{ new }}"


def test_tokens_that_only_the_settings_name_are_added_and_said(tmp_path: Path) -> None:
    folder = model_folder(
        tmp_path / "m",
        config__json={"vocab_size": 4},
        tokenizer__json=TOKENIZER,
        tokenizer_config__json={"eos_token": "<end>", "pad_token": "<pad>"},
    )

    model = opened(folder)

    assert model.tokenizer is not None
    program = json.loads(model.tokenizer.json or "")
    assert [each["content"] for each in program["added_tokens"]] == ["<s>", "<end>"]
    assert model.tokenizer.special_ids == {"eos": 3}
    assert [note for note in model.notes if "'<end>'" in note]
    assert [note for note in model.notes if "'<pad>'; they are left out" in note]


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_broken_tokenizer_is_refused_by_its_path(tmp_path: Path, name: str) -> None:
    texts: dict[str, Any] = {
        "tokenizer__json": TOKENIZER,
        name.replace(".", "__"): b"[",
    }
    folder = model_folder(tmp_path / "m", **texts)

    with pytest.raises(CorruptFileError, match=str(folder / name)):
        opened(folder)


def test_a_broken_sentencepiece_model_is_named_and_its_repair_once(
    tmp_path: Path,
) -> None:
    folder = model_folder(tmp_path / "m", tokenizer__model=b"\n\x0e")

    path = str(folder / "tokenizer.model")
    with pytest.raises(CorruptFileError, match=path) as caught:
        opened(folder)

    assert str(caught.value).count("get the file again") == 1


def test_a_sentencepiece_model_beside_a_tokenizer_json_is_left_alone(
    tmp_path: Path,
) -> None:
    files = {"tokenizer__model": b"\n\x0e", "tokenizer__json": TOKENIZER}
    model = opened(model_folder(tmp_path / "m", **files))

    assert model.tokenizer is not None
    assert model.tokenizer.json == json.dumps(TOKENIZER)


def test_the_files_before_tokenizer_json_are_joined(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "vocab__json": {"a": 0, "b": 1, "ab": 2},
        "merges__txt": b"#version: 0.2\na b\n",
        "tokenizer_config__json": {"tokenizer_class": "Qwen2Tokenizer"},
    }
    model = opened(model_folder(tmp_path / "m", **files))

    assert model.tokenizer is not None
    program = json.loads(model.tokenizer.json or "")
    assert program["model"]["vocab"] == {"a": 0, "b": 1, "ab": 2}
    assert model.carried["hf"]["merges.txt"] == "#version: 0.2\na b\n"


def test_a_tokenizer_of_an_unknown_class_is_said_not_to_be_read(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "vocab__json": {"a": 0},
        "merges__txt": b"",
        "tokenizer_config__json": {"tokenizer_class": "HomemadeTokenizer"},
    }
    model = opened(model_folder(tmp_path / "m", **files))

    assert model.tokenizer is None
    assert any("HomemadeTokenizer" in note for note in model.notes)


@pytest.mark.parametrize(
    ("head", "size", "known"),
    [
        (packed({}), 10, True),
        (packed({})[:9], 9, False),
        (b"GGUF" + bytes(20), 24, False),
        (b"", 0, False),
        ((10**8 + 1).to_bytes(8, "little") + b"{", 10**9, False),
    ],
)
def test_structure_is_a_length_that_fits_and_a_brace(
    head: bytes, size: int, known: bool
) -> None:
    evidence = FileEvidence(Path("some"), head, size)

    assert (SAFETENSORS.confidence(evidence) is Confidence.STRUCTURE) is known


@pytest.mark.parametrize(
    ("names", "known"),
    [
        ({"config.json", "model.safetensors"}, True),
        ({"model.safetensors"}, True),
        ({"config.json", INDEX}, True),
        ({"config.json", "weights.safetensors"}, True),
        ({"adapter_config.json", "adapter_model.safetensors"}, False),
        ({"config.json"}, False),
        ({"README.md"}, False),
    ],
)
def test_a_folder_is_known_by_its_names(names: set[str], known: bool) -> None:
    evidence = FileEvidence(Path("some"), names=frozenset(names))

    assert (SAFETENSORS.confidence(evidence) is Confidence.STRUCTURE) is known


def test_a_published_folder_opens() -> None:
    folder = assets.minilm()

    model = opened(folder)

    assert model.config.identity.hf_class == "BertModel"
    assert (model.config.hidden_size, model.config.num_layers) == (384, 6)
    judge = safetensors.numpy.load_file(folder / "model.safetensors")
    assert model.tensors.keys() == judge.keys()
    name = "encoder.layer.3.attention.self.query.weight"
    assert np.array_equal(model.tensors[name].numpy(), judge[name])
