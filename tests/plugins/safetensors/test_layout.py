"""Layouts: other programs read them, and nothing that was carried is lost."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
import transformers
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aprhub.api import (
    ENCODINGS,
    CorruptFileError,
    Layout,
    LayoutOptions,
    LineageStep,
    Memory,
    Provenance,
    StoredModel,
    Tensor,
    Tokenizer,
    UnrepresentableError,
    UnsupportedFileError,
)
from aprhub_families import provide_families
from aprhub_safetensors import SAFETENSORS
from tests.plugins.safetensors.disk import TOKENIZER, can_be_a_name, content, rendered

FAMILIES = {each.name: each for each in provide_families()}

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}

on_disk = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def opened(path: Path) -> StoredModel:
    assert SAFETENSORS.open is not None
    return SAFETENSORS.open(path)


def laid_out(model: StoredModel, target: Path, limit: int | None = None) -> Layout:
    assert SAFETENSORS.lay_out is not None
    return SAFETENSORS.lay_out(model, target, LayoutOptions(limit))


def rewritten(model: StoredModel, target: Path, limit: int | None = None) -> Path:
    return rendered(laid_out(model, target, limit), target)


def model_of(arrays: dict[str, Any], **fields: Any) -> StoredModel:
    tensors = {name: Tensor.of(array) for name, array in arrays.items()}
    return StoredModel("gguf", Path("m"), tensors, **fields)


def names(layout: Layout) -> list[str]:
    return [file.name for file in layout.files]


def test_a_folder_s_config_is_put_in_place_last(tmp_path: Path) -> None:
    layout = laid_out(model_of({"a": np.zeros(3, "f4")}), tmp_path / "m")

    assert layout.folder
    assert names(layout) == ["model.safetensors", "config.json"]


def test_shards_have_an_index_that_names_every_tensor(tmp_path: Path) -> None:
    model = model_of({name: np.full(4, ord(name), "f4") for name in "abc"})

    layout = laid_out(model, tmp_path / "m", 32)
    folder = rendered(layout, tmp_path / "m")

    index = json.loads((folder / "model.safetensors.index.json").read_text())
    first, second = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    assert index["weight_map"] == {"a": first, "b": first, "c": second}
    assert index["metadata"] == {"total_size": 48}
    assert names(layout)[-2:] == ["model.safetensors.index.json", "config.json"]
    assert safetensors.numpy.load_file(folder / second)["c"].tolist() == [99.0] * 4
    assert list(opened(folder).tensors) == ["a", "b", "c"]


def test_a_suffix_asks_for_one_file(tmp_path: Path) -> None:
    layout = laid_out(model_of({"a": np.zeros(3, "f4")}), tmp_path / "x.safetensors")

    assert not layout.folder
    assert names(layout) == ["x.safetensors"]


def test_one_file_cannot_be_split(tmp_path: Path) -> None:
    model = model_of({name: np.zeros(4, "f4") for name in "ab"})

    with pytest.raises(UnrepresentableError, match="give a folder"):
        laid_out(model, tmp_path / "x.safetensors", 16)


@on_disk
@given(
    st.dictionaries(
        st.text(max_size=12).filter(can_be_a_name),
        arrays.arrays(
            st.sampled_from(["<f4", "<f2", "<i8", "<u2", "u1", "?"]),
            arrays.array_shapes(min_dims=0, min_side=0),
        ),
        max_size=5,
    ),
    st.sampled_from([None, 1, 40]),
)
def test_the_package_reads_what_is_laid_out(
    tmp_path: Path, saved: dict[str, Any], limit: int | None
) -> None:
    layout = laid_out(model_of(saved), tmp_path / "m", limit)

    files = [file for file in layout.files if file.name.endswith(".safetensors")]
    found: dict[str, Any] = {}
    for file in files:
        found |= safetensors.numpy.load(content(file))
    assert found.keys() == saved.keys()
    for name, array in saved.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    assert all(file.nbytes == len(content(file)) for file in layout.files)


@pytest.mark.parametrize("encoding", ["bf16", "f8_e4m3", "f8_e5m2", "f8_e8m0"])
def test_dtypes_beyond_numpy_are_written(tmp_path: Path, encoding: str) -> None:
    data = np.arange(8, dtype=np.uint8)
    kind = ENCODINGS[encoding]
    tensor = Tensor((8 // kind.block_bytes,), kind, Memory(data))
    model = StoredModel("gguf", Path("m"), {"a": tensor})

    path = rewritten(model, tmp_path / "x.safetensors")

    with safetensors.safe_open(path, "pt") as judge:
        assert judge.get_tensor("a").view(torch.uint8).tolist() == data.tolist()
    assert opened(path).tensors["a"].encoding == kind


def test_tensors_start_at_a_multiple_of_64(tmp_path: Path) -> None:
    for length in range(1, 80):
        model = model_of({"a" * length: np.zeros(1, "u1")})
        path = rewritten(model, tmp_path / "x.safetensors")

        assert (8 + int.from_bytes(path.read_bytes()[:8], "little")) % 64 == 0


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model = model_of({"a": np.arange(5.0)}, carried={"gguf": {"k": [1, 2]}})

    first, second = (laid_out(model, tmp_path / "m") for _ in range(2))

    assert [content(file) for file in first.files] == [
        content(file) for file in second.files
    ]


def test_a_quantised_encoding_is_asked_for_as_f32(tmp_path: Path) -> None:
    packed = Tensor((256,), ENCODINGS["q4_k"], Memory(np.zeros(144, np.uint8)))
    plain = Tensor.of(np.zeros(2, "u8"))

    assert SAFETENSORS.encoding_for("a", packed) == ENCODINGS["f32"]
    assert SAFETENSORS.encoding_for("a", plain) == ENCODINGS["u64"]
    with pytest.raises(UnrepresentableError, match="a: safetensors has no type"):
        laid_out(StoredModel("gguf", Path("m"), {"a": packed}), tmp_path / "m")


def test_a_tensor_cannot_take_the_metadata_s_name(tmp_path: Path) -> None:
    model = model_of({"__metadata__": np.zeros(1, "f4")})

    with pytest.raises(UnrepresentableError, match="__metadata__"):
        laid_out(model, tmp_path / "m")


PROVENANCE = Provenance(
    license="Apache-2.0",
    source="hf://org/name",
    lineage=(
        LineageStep("convert", {"m.gguf": "sha256:00"}, {"dtype": "f16"}, {"a": "1"}),
    ),
)
WORLDS: dict[str, dict[str, Any]] = {
    "gguf": {"general.file_type": 15, "list": [1, 2.5, "x", None], "deep": {"a": []}},
    "apr": {"note": "\u2603 \x07"},
}
TEXTS = {
    "config.json": json.dumps(CONFIG, indent=7),
    "generation_config.json": '{ "eos_token_id": 2}',
    "tokenizer_config.json": '{"x": 1}\n\n',
    "merges.txt": "#version: 0.2\na b\n",
}


@pytest.mark.parametrize("target", ["m", "x.safetensors"])
def test_nothing_carried_is_lost(tmp_path: Path, target: str) -> None:
    model = model_of(
        {"a": np.zeros(3, "f4")},
        provenance=PROVENANCE,
        native={"embed.weight": "bf16"},
        carried={
            **WORLDS,
            "hf": {**TEXTS, "odd": 7},
            "safetensors": {"metadata": {"step": "7"}},
        },
    )

    path = rewritten(model, tmp_path / target)

    found = opened(path)
    assert found.provenance == PROVENANCE
    assert found.native == model.native
    assert found.carried == model.carried


@pytest.mark.parametrize("target", ["m", "x.safetensors"])
def test_the_tokenizer_comes_back(tmp_path: Path, target: str) -> None:
    text = json.dumps(TOKENIZER, ensure_ascii=False, indent=3)
    tokenizer = Tokenizer(json=text, special_ids={"bos": 2}, chat_template="{{ x }}")
    model = model_of({"a": np.zeros(3, "f4")}, tokenizer=tokenizer)

    stored = opened(rewritten(model, tmp_path / target))

    found = stored.tokenizer
    assert found is not None
    assert (found.json, found.chat_template) == (text, "{{ x }}")
    (fate,) = (each for each in stored.fates if each.key == "tokenizer.json")
    assert (fate.fate, fate.into) == ("kept", "tokenizer.json")
    assert found.special_ids == {"bos": 2}


def test_a_tokenizer_is_not_made_before_its_file_is_asked_for(tmp_path: Path) -> None:
    asked: list[str] = []

    def made() -> str:
        asked.append("made")
        return json.dumps(TOKENIZER)

    model = model_of({"a": np.zeros(3, "f4")}, tokenizer=Tokenizer(json=made))
    layout = laid_out(model, tmp_path / "m")

    assert "tokenizer.json" in names(layout)
    assert asked == []
    found = opened(rendered(layout, tmp_path / "m")).tokenizer
    assert found is not None
    assert found.json == made()


def test_what_the_weight_files_say_is_not_recorded_again(tmp_path: Path) -> None:
    carried = {"safetensors": {"metadata": {"step": "7"}}}
    model = model_of({"a": np.zeros(3, "f4")}, carried=carried)

    layout = laid_out(model, tmp_path / "m")

    assert "aprhub.json" not in names(layout)


def test_a_name_from_another_file_is_no_path(tmp_path: Path) -> None:
    hostile = {"../../evil.json": "{}", "/tmp/evil": "x", "config.json": "{}"}
    model = model_of({"a": np.zeros(1, "f4")}, carried={"hf": hostile})

    layout = laid_out(model, tmp_path / "m")

    assert names(layout) == ["model.safetensors", "aprhub.json", "config.json"]
    found = opened(rendered(layout, tmp_path / "m"))
    assert found.carried["hf"] == hostile


def test_a_text_that_is_no_text_is_refused(tmp_path: Path) -> None:
    model = model_of(
        {"a": np.zeros(1, "f4")}, carried={"hf": {**TEXTS, "merges.txt": "\ud800"}}
    )

    with pytest.raises(UnrepresentableError, match=r"merges\.txt"):
        laid_out(model, tmp_path / "m")
    with pytest.raises(UnrepresentableError, match="Unicode"):
        laid_out(model, tmp_path / "x.safetensors")


@pytest.mark.parametrize("target", ["m", "x.safetensors"])
def test_a_tokenizer_that_is_no_text_is_refused(tmp_path: Path, target: str) -> None:
    tokenizer = Tokenizer(json='{"model": "\ud800"}')
    model = model_of({"a": np.zeros(1, "f4")}, tokenizer=tokenizer)
    with pytest.raises(UnrepresentableError, match=r"Unicode.*\\ud800"):
        rendered(laid_out(model, tmp_path / target), tmp_path / target)


def test_a_tokenizer_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    program = Tokenizer(json='{"model": {}}')
    model = model_of({"a": np.zeros(1, "f4")}, tokenizer=program)
    folder = rewritten(model, tmp_path / "m")
    (folder / "tokenizer.json").write_bytes(b'{"model": {"vocab": {"\xff": 0}}}')
    with pytest.raises(
        CorruptFileError, match=r"tokenizer\.json.* at byte 22: not UTF-8"
    ):
        opened(folder)


def test_what_is_not_json_like_is_refused(tmp_path: Path) -> None:
    model = model_of({"a": np.zeros(1, "f4")}, carried={"gguf": {"k": object()}})

    with pytest.raises(UnrepresentableError, match="not JSON-like"):
        laid_out(model, tmp_path / "m")


def test_a_record_of_a_later_version_is_refused(tmp_path: Path) -> None:
    folder = rewritten(model_of({"a": np.zeros(1, "f4")}), tmp_path / "m")
    (folder / "aprhub.json").write_text('{"version": 2}')

    with pytest.raises(UnsupportedFileError, match="version 2"):
        opened(folder)


@pytest.mark.parametrize(
    ("said", "kept"),
    [("float32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float16")],
)
def test_a_dtype_unlike_the_weights_is_kept(
    tmp_path: Path, said: str, kept: str
) -> None:
    config = json.dumps({**CONFIG, "torch_dtype": said})
    model = model_of({"a": np.zeros(3, "f4")}, carried={"hf": {"config.json": config}})
    folder = rewritten(model, tmp_path / "m")
    (folder / "config.json").write_text(config)

    again = rewritten(opened(folder), tmp_path / "n")

    assert json.loads((again / "config.json").read_text())["torch_dtype"] == kept


def test_a_cast_changes_the_dtype(tmp_path: Path) -> None:
    config = json.dumps({**CONFIG, "torch_dtype": "float32", "dtype": "float32"})
    model = model_of({"a": np.zeros(3, "f2")}, carried={"hf": {"config.json": config}})

    folder = rewritten(model, tmp_path / "m")

    found = json.loads((folder / "config.json").read_text())
    assert (found["torch_dtype"], found["dtype"]) == ("float16", "float16")


def tiny(kind: str) -> Any:
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "vocab_size": 64,
        "max_position_embeddings": 128,
    }
    config = transformers.AutoConfig.for_model(kind, **sizes)
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize(
    ("kind", "family"), [("llama", "llama"), ("gemma3_text", "gemma3")]
)
def test_transformers_computes_the_same(
    tmp_path: Path, kind: str, family: str, made: bool
) -> None:
    original = tiny(kind)
    original.save_pretrained(tmp_path / "original")
    model = evolve(opened(tmp_path / "original"), family=FAMILIES[family])
    if made:
        model = evolve(model, carried={})

    folder = rewritten(model, tmp_path / "again", 6000)

    again = transformers.AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.arange(20)[None]
    assert type(again) is type(original)
    assert torch.equal(again(ids).logits, original.eval()(ids).logits)
