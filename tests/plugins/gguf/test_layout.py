"""What is laid out is read by the `gguf` package as it was meant."""

import time
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from gguf import GGUFReader, GGUFValueType

from aprhub.api import (
    FlatVocabulary,
    Identity,
    LayoutOptions,
    LineageStep,
    ModelConfig,
    Provenance,
    Tensor,
    Tokenizer,
    UnrepresentableError,
    opaque,
)
from aprhub_gguf.tables import TENSOR_TYPES
from tests.plugins.gguf.disk import laid_out, opened, rendered, reopened, written
from tests.plugins.gguf.models import CONFIG, TOKENS, VOCABULARY, model, packed

# The package lacks the one, and still counts 40 bytes for a block of the other.
NOT_IN_GGUF_0_19 = ("q2_0", "q8_1")


def judged(path: Path) -> dict[str, tuple[list[str], object]]:
    """Return the types and the value of each key, as the `gguf` package reads them."""
    fields = GGUFReader(path).fields.values()
    return {
        field.name: ([kind.name for kind in field.types], field.contents())
        for field in fields
    }


def test_the_gguf_package_reads_the_keys_with_their_types(tmp_path: Path) -> None:
    (path,) = written(model(), tmp_path / "a.gguf")

    fields = judged(path)

    u32, f32, text = (["UINT32"], ["FLOAT32"], ["STRING"])
    assert fields["GGUF.version"][1] == 3
    assert fields["general.architecture"] == (text, "llama")
    assert fields["general.type"] == (text, "model")
    assert fields["general.file_type"] == (u32, 0)
    assert fields["llama.context_length"] == (u32, 128)
    assert fields["llama.embedding_length"] == (u32, 64)
    assert fields["llama.block_count"] == (u32, 1)
    assert fields["llama.feed_forward_length"] == (u32, 96)
    assert fields["llama.attention.head_count"] == (u32, 4)
    assert fields["llama.attention.head_count_kv"] == (u32, 2)
    assert fields["llama.rope.dimension_count"] == (u32, 16)
    assert fields["llama.vocab_size"] == (u32, 6)
    assert fields["llama.attention.layer_norm_rms_epsilon"] == (
        f32,
        float(np.float32(1e-5)),
    )
    assert fields["llama.rope.freq_base"] == (f32, 10000.0)
    assert fields["tokenizer.ggml.tokens"] == (["ARRAY", "STRING"], [*TOKENS])
    assert fields["tokenizer.ggml.token_type"][0] == ["ARRAY", "INT32"]
    assert fields["tokenizer.ggml.scores"][0] == ["ARRAY", "FLOAT32"]
    assert "general.quantization_version" not in fields
    assert "llama.attention.key_length" not in fields


@pytest.mark.parametrize(
    "name", [name for name in TENSOR_TYPES.values() if name not in NOT_IN_GGUF_0_19]
)
def test_the_gguf_package_reads_tensors_of_every_type(
    tmp_path: Path, name: str
) -> None:
    before, it = packed("f32", 3), packed(name, 3, 256)
    (path,) = written(model({"before": before, "it": it}), tmp_path / "a.gguf")

    found = GGUFReader(path).tensors[1]

    assert found.name == "it"
    assert found.tensor_type.name == name.upper()
    assert [int(each) for each in found.shape] == [256, 3]
    assert found.data.tobytes() == it.tobytes()


def test_offsets_are_the_running_sum_of_padded_sizes(tmp_path: Path) -> None:
    values = {f"t{size}": packed("f32", size) for size in (1, 8, 9, 16, 17)}
    (path,) = written(model(values), tmp_path / "a.gguf")

    offsets = [each.data_offset for each in GGUFReader(path).tensors]

    begin = offsets[0]
    assert begin % 32 == 0
    assert [each - begin for each in offsets] == [0, 32, 64, 128, 192]
    assert path.stat().st_size == begin + 192 + 96


def test_a_block_type_brings_the_version_of_its_blocks(tmp_path: Path) -> None:
    (path,) = written(model({"it": packed("q4_k", 2, 256)}), tmp_path / "a.gguf")

    fields = judged(path)

    assert fields["general.quantization_version"] == (["UINT32"], 2)
    assert fields["general.file_type"] == (["UINT32"], 15)


def test_the_file_type_is_that_of_most_matrices(tmp_path: Path) -> None:
    values = {
        "vector": packed("f32", 9),
        "a": packed("bf16", 2, 2),
        "b": packed("bf16", 2, 2),
        "c": packed("f16", 2, 2),
    }
    (path,) = written(model(values), tmp_path / "a.gguf")

    assert judged(path)["general.file_type"][1] == 32


def test_the_name_of_a_mixture_is_kept_while_it_is_the_same(tmp_path: Path) -> None:
    values = {"a": packed("q5_0", 2, 32), "b": packed("q4_k", 2, 256)}
    mixture = {"type": "u32", "value": 15, "mixture": {"q5_0": 1, "q4_k": 1}}
    source = model(values, carried={"gguf": {"general.file_type": mixture}})

    (same,) = written(source, tmp_path / "same.gguf")
    other = evolve(source, tensors={**values, "c": packed("q8_0", 2, 32)})
    (changed,) = written(other, tmp_path / "changed.gguf")

    assert judged(same)["general.file_type"][1] == 15
    assert judged(changed)["general.file_type"][1] == 8
    assert opened(same).carried == source.carried


def test_sections_stand_in_a_fixed_order(tmp_path: Path) -> None:
    carried = {
        "gguf": {
            "zoo.key": {"type": "u32", "value": 1},
            "general.tags": {"type": "array", "of": "string", "value": ["a"]},
        },
        "apr": {"x": 1},
    }
    source = model(carried=carried, provenance=Provenance(name="me"))
    (path,) = written(source, tmp_path / "a.gguf")

    keys = [key for key in judged(path) if not key.startswith("GGUF.")]

    sections = [key.split(".")[0] for key in keys]
    order = ["general", "llama", "tokenizer", "zoo", "aprhub"]
    assert list(dict.fromkeys(sections)) == order
    assert keys[0] == "general.architecture"


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    target = tmp_path / "a.gguf"
    (one,) = laid_out(model(), target).files
    (two,) = laid_out(model(), target).files

    assert rendered(one) == rendered(two)


def test_carried_keys_are_written_with_their_types(tmp_path: Path) -> None:
    carried = {
        "own.u8": {"type": "u8", "value": 255},
        "own.i64": {"type": "i64", "value": -(2**63)},
        "own.f32": {"type": "f32", "value": 0.1},
        "own.nan": {"type": "f64", "value": "nan"},
        "own.flag": {"type": "bool", "value": False},
        "own.texts": {"type": "array", "of": "string", "value": ["", "é"]},
        "own.flags": {"type": "array", "of": "bool", "value": [True, False]},
        "own.none": {"type": "array", "of": "i16", "value": []},
        "own.infinite": {"type": "array", "of": "f32", "value": [1.0, "-inf"]},
    }
    source = model(carried={"gguf": carried})
    (path,) = written(source, tmp_path / "a.gguf")

    fields = judged(path)

    assert fields["own.u8"] == (["UINT8"], 255)
    assert fields["own.f32"] == (["FLOAT32"], float(np.float32(0.1)))
    assert fields["own.texts"] == (["ARRAY", "STRING"], ["", "é"])
    assert fields["own.flags"] == (["ARRAY", "BOOL"], [True, False])
    assert opened(path).carried == source.carried


@pytest.mark.parametrize(
    "value",
    [
        5,
        {"value": 5},
        {"type": "u128", "value": 5},
        {"type": "u8", "value": 256},
        {"type": "u8", "value": -1},
        {"type": "u8", "value": True},
        {"type": "u32", "value": "5"},
        {"type": "f32", "value": "many"},
        {"type": "f32", "value": 1e300},
        {"type": "bool", "value": 1},
        {"type": "string", "value": None},
        {"type": "string", "value": "\ud800"},
        {"type": "array", "of": "array", "value": []},
        {"type": "array", "of": "u8", "value": "abc"},
        {"type": "array", "of": "u8", "value": [1, 256]},
        {"type": "array", "of": "string", "value": ["\ud800"]},
        {"type": "array", "of": "string", "value": ["x" * (1 << 26)]},
        {"type": "string", "value": "x" * (1 << 26) + "x"},
    ],
    ids="{!r:.60}".format,
)
def test_what_is_carried_and_is_no_value_is_refused(
    tmp_path: Path, value: object
) -> None:
    source = model(carried={"gguf": {"own.key": value}})

    with pytest.raises(UnrepresentableError, match=r"own\.key"):
        laid_out(source, tmp_path / "a.gguf")


@pytest.mark.parametrize(
    ("name", "tensor", "expected"),
    [
        ("a" * 64, packed("f32", 1), "64 bytes"),
        ("", packed("f32", 1), "0 bytes"),
        ("ß" * 32, packed("f32", 1), "64 bytes"),
        ("five", packed("f32", 1, 1, 1, 1, 1), "4 dimensions"),
        ("fp8", packed("f8_e4m3", 2, 2), "no type for f8_e4m3"),
        ("flag", packed("bool", 2), "no type for bool"),
        ("apr", packed("apr_q4", 2, 32), "no type for apr_q4"),
        ("cut", packed("q8_0", 2, 48), "48 elements"),
        ("none", packed("f32", 0, 4), "no elements"),
        ("a\33[2J", packed("f32", 1), "control characters"),
    ],
)
def test_tensors_that_gguf_cannot_hold_are_refused(
    tmp_path: Path, name: str, tensor: Tensor, expected: str
) -> None:
    source = model({name: tensor, "fine": packed("f32", 1)})

    with pytest.raises(UnrepresentableError, match=expected) as caught:
        laid_out(source, tmp_path / "a.gguf")

    assert len(caught.value.faults) == 1


@pytest.mark.parametrize("key", ["", "a\nb", "k" * 70_000])
def test_keys_that_nobody_reads_are_refused(tmp_path: Path, key: str) -> None:
    source = model(carried={"gguf": {key: {"type": "u8", "value": 1}}})

    with pytest.raises(UnrepresentableError):
        laid_out(source, tmp_path / "a.gguf")


def test_more_parts_than_can_be_counted_are_refused(tmp_path: Path) -> None:
    one = packed("f32", 1)
    source = model({f"t{number}": one for number in range(65_536)})

    with pytest.raises(UnrepresentableError, match="65536 parts"):
        laid_out(source, tmp_path / "a.gguf", LayoutOptions(shard_size=1))


def test_all_tensors_that_gguf_cannot_hold_are_named_at_once(tmp_path: Path) -> None:
    source = model({"a": packed("u8", 1), "b": packed("u16", 1)})

    with pytest.raises(UnrepresentableError) as caught:
        laid_out(source, tmp_path / "a.gguf")

    assert [fault.subject for fault in caught.value.faults] == ["a", "b"]


def test_an_unknown_type_is_written_under_its_number(tmp_path: Path) -> None:
    blob = packed("u8", 50)
    strange = Tensor((5, 10), opaque("ggml_type_77", 50), blob.source)

    model_again = reopened(model({"it": strange, "b": packed("f32", 1)}), tmp_path)

    # The padding behind it is now a part of it: nothing tells where it ends.
    assert model_again.tensors["it"].encoding == opaque("ggml_type_77", 64)
    assert model_again.tensors["it"].tobytes() == blob.tobytes() + bytes(14)


def test_without_an_architecture_nothing_is_written(tmp_path: Path) -> None:
    source = model(config=evolve(CONFIG, identity=Identity()))

    with pytest.raises(UnrepresentableError, match="architecture"):
        laid_out(source, tmp_path / "a.gguf")


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "a" * 65])
def test_an_architecture_that_is_no_part_of_a_key_is_refused(
    tmp_path: Path, name: str
) -> None:
    source = model(config=evolve(CONFIG, identity=Identity(name)))

    with pytest.raises(UnrepresentableError, match=r"architecture"):
        laid_out(source, tmp_path / "a.gguf")


@pytest.mark.parametrize(
    "config",
    [
        evolve(CONFIG, hidden_size=1 << 32),
        evolve(CONFIG, num_layers=-1),
        evolve(CONFIG, norm_eps=1e300),
    ],
)
def test_sizes_that_do_not_fit_their_keys_are_refused(
    tmp_path: Path, config: ModelConfig
) -> None:
    with pytest.raises(UnrepresentableError, match="does not fit"):
        laid_out(model(config=config), tmp_path / "a.gguf")


def test_repeated_tokens_are_refused(tmp_path: Path) -> None:
    flat = evolve(VOCABULARY, tokens=("a", "b", "a", "", "", "b"))

    with pytest.raises(UnrepresentableError, match=r"2 tokens .* 'a'"):
        laid_out(model(tokenizer=Tokenizer(flat=flat)), tmp_path / "a.gguf")


def test_a_tokenizer_without_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnrepresentableError, match="as a list"):
        laid_out(model(tokenizer=Tokenizer(json="{}")), tmp_path / "a.gguf")


def test_a_model_without_tokenizer_says_so(tmp_path: Path) -> None:
    (path,) = written(model(tokenizer=None), tmp_path / "a.gguf")

    fields = judged(path)

    assert fields["tokenizer.ggml.model"][1] == "none"
    assert fields["llama.vocab_size"][1] == 6
    assert opened(path).tokenizer is None


def test_a_large_vocabulary_is_laid_out_and_opened_at_once(tmp_path: Path) -> None:
    tokens = [f"token{number:06d}" for number in range(150_000)]
    merges = [f"tok en{number:06d}" for number in range(150_000)]
    flat = FlatVocabulary("gpt2", tokens, "qwen2", merges=merges)
    source = model(
        config=evolve(CONFIG, vocab_size=150_000), tokenizer=Tokenizer(flat=flat)
    )
    written(source, tmp_path / "warm.gguf")

    begin = time.process_time()
    (path,) = written(source, tmp_path / "a.gguf")
    middle = time.process_time()
    found = opened(path)
    end = time.process_time()

    assert found.tokenizer == source.tokenizer
    assert middle - begin < 1.0
    assert end - middle < 0.5


def test_lineage_and_provenance_come_back(tmp_path: Path) -> None:
    step = LineageStep("convert", {"a.apr": "sha256:0"}, {"x": [1, None]}, {"t": "1"})
    provenance = Provenance(
        "name",
        "what",
        "who",
        "1",
        "mit",
        "data",
        "cc",
        "https://x",
        "apr",
        "now",
        (step,),
    )

    again = reopened(model(provenance=provenance), tmp_path)

    assert again.provenance == provenance


def test_other_worlds_come_back(tmp_path: Path) -> None:
    carried = {
        "hf": {
            "config.json": '{"a": "é"}',
            "chat_template.jinja": "{{ x }}",
            "generation_config.json": "{}",
            "model.v2.json": "{}",
            "numbers": [1, 2.5, None, True],
        },
        "apr": {"deep": {"er": [{}]}, "half": "\ud800"},
    }

    (path,) = written(model(carried=carried), tmp_path / "a.gguf")

    assert opened(path).carried == carried
    assert judged(path)["aprhub.hf.config_json"][1] == '{"a": "é"}'
    assert judged(path)["aprhub.hf.chat_template_jinja"][1] == "{{ x }}"


def test_what_is_no_json_cannot_be_carried(tmp_path: Path) -> None:
    source = model(carried={"apr": {"x": float("nan")}})

    with pytest.raises(UnrepresentableError, match=r"aprhub\.carried\.apr"):
        laid_out(source, tmp_path / "a.gguf")


def test_native_encodings_and_the_identity_come_back(tmp_path: Path) -> None:
    native = {"norm.weight": "bf16", "layers.0.attn.norm.weight": "f16"}
    identity = Identity("llama", "LlamaForCausalLM", "llama")
    source = model(native=native, config=evolve(CONFIG, identity=identity))

    again = reopened(source, tmp_path)

    assert again.native == native
    assert again.config.identity == identity


def test_parts_hold_at_most_the_asked_size(tmp_path: Path) -> None:
    source = model({f"t{number}": packed("f32", 100) for number in range(5)})
    options = LayoutOptions(shard_size=1000)

    paths = written(source, tmp_path / "big.gguf", options)

    names = [f"big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert [path.name for path in paths] == names
    readers = [GGUFReader(path) for path in paths]
    assert [len(reader.tensors) for reader in readers] == [2, 2, 1]
    for number, reader in enumerate(readers):
        kinds = {key: field.types for key, field in reader.fields.items()}
        assert reader.fields["split.no"].contents() == number
        assert reader.fields["split.count"].contents() == 3
        assert reader.fields["split.tensors.count"].contents() == 5
        assert kinds["split.no"] == kinds["split.count"] == [GGUFValueType.UINT16]
        assert kinds["split.tensors.count"] == [GGUFValueType.INT32]
    own = [key for key in readers[1].fields if not key.startswith("GGUF.")]
    assert own == ["split.no", "split.count", "split.tensors.count"]


def test_the_part_that_is_opened_is_put_in_place_last(tmp_path: Path) -> None:
    source = model({f"t{number}": packed("f32", 100) for number in range(3)})

    layout = laid_out(source, tmp_path / "a.gguf", LayoutOptions(shard_size=400))

    assert layout.files[-1].name == "a-00001-of-00003.gguf"


def test_a_target_named_like_a_part_keeps_its_prefix(tmp_path: Path) -> None:
    source = model({f"t{number}": packed("f32", 100) for number in range(2)})
    target = tmp_path / "a-00001-of-00009.gguf"

    layout = laid_out(source, target, LayoutOptions(shard_size=400))

    assert {file.name for file in layout.files} == {
        "a-00001-of-00002.gguf",
        "a-00002-of-00002.gguf",
    }
