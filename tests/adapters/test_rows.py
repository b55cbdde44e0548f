"""Adapters with rows of single tokens, judged by PEFT."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from attrs import evolve
from safetensors.numpy import load_file, save_file

from aprhub import Tensor, conversion, open_model
from aprhub.adapters.making import AdapterConversion, converted
from aprhub.adapters.matching import MatchOptions
from aprhub.adapters.merging import asked
from aprhub.adapters.operations import AdapterMerge, fitted
from aprhub.adapters.writing import AdapterWriter, WriteOptions
from aprhub.errors import (
    CorruptFileError,
    ModelCheckError,
    UnrepresentableError,
    UnrunnableError,
)
from aprhub.front import merge_adapters
from aprhub.ir.adapter import Adapter, Rows
from aprhub.ir.model import EMBEDDING, HEAD
from aprhub.lift import LiftOptions
from tests.adapters.makers import REGISTRY, model, saved
from tests.judges import hf, peft

IDS: Final = (1, 7, 3, 40, 50, 0)
LORA: Final[dict[str, Any]] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
TOKENS: Final = [7, 0, 40]
DELTA: Final = (
    "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
)


def merged(base: Path, adapter: Path, target: Path) -> Any:
    return merge_adapters(AdapterMerge(base, [adapter]), target, registry=REGISTRY)


@pytest.mark.parametrize("suffix", ["", ".gguf", ".apr"])
@pytest.mark.parametrize(
    ("tied", "config"),
    [
        (True, {**LORA, "trainable_token_indices": TOKENS}),
        (False, {**LORA, "trainable_token_indices": TOKENS}),
        (False, {**LORA, "trainable_token_indices": {"lm_head": [3, 1]}}),
        (
            False,
            {
                **LORA,
                "trainable_token_indices": {"embed_tokens": TOKENS, "lm_head": [3]},
            },
        ),
        (
            True,
            {
                **LORA,
                "trainable_token_indices": {"embed_tokens": TOKENS, "lm_head": [3]},
            },
        ),
        (True, {"token_indices": TOKENS}),
        (False, {"token_indices": [263]}),
    ],
)
def test_rows_of_tokens_take_the_place_of_the_bases(
    tied: bool, config: dict[str, Any], suffix: str, tmp_path: Path
) -> None:
    base = saved(model(tie_embeddings=tied), tmp_path / "base")
    peft.trained(base, tmp_path / "adapter", **config)

    merged(base, tmp_path / "adapter", tmp_path / f"merged{suffix}")

    found = open_model(tmp_path / f"merged{suffix}")
    own_head = "lm_head" in config.get("trainable_token_indices", ())
    assert (found.config.tie_embeddings is True) is (tied and not own_head)
    folder = saved(found, tmp_path / "back") if suffix else tmp_path / "merged"
    expected = peft.judged(base, tmp_path / "adapter", IDS)
    logits = hf.logits(folder, IDS)
    tolerance = 1e-5 * np.abs(expected.logits).max()
    np.testing.assert_allclose(logits, expected.logits, atol=tolerance)
    if not (tied and own_head):
        # PEFT's merge puts both into the one tensor that they share.
        rows = expected.weights["model.embed_tokens.weight"]
        np.testing.assert_array_equal(found.tensors[EMBEDDING].numpy(), rows)


@pytest.mark.parametrize("has_whole", [True, False])
def test_a_row_that_is_new_comes_with_its_token(
    has_whole: bool, tmp_path: Path
) -> None:
    base, folder = (
        saved(model(tie_embeddings=True), tmp_path / "base"),
        tmp_path / "new",
    )
    rows = (open_model(base).config.vocab_size or 0) + 2
    new = [rows - 1, 7] if has_whole else [rows - 1, 7, rows - 2]
    config = {**LORA, "trainable_token_indices": new}
    peft.trained(base, folder, rows=rows, **config)
    if not has_whole:
        drop_whole(folder)
    named(base, folder, rows)

    report = merged(base, folder, tmp_path / "merged")

    ids = (*IDS, *new)
    expected = peft.judged(base, folder, ids, rows).logits
    found = hf.logits(tmp_path / "merged", ids)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert any(f"to {rows} rows" in note for note in report.notes)
    assert "lm_head.weight" not in load_file(tmp_path / "merged" / "model.safetensors")


def test_new_rows_need_their_tokens_and_are_not_converted(tmp_path: Path) -> None:
    base, folder = (
        saved(model(tie_embeddings=True), tmp_path / "base"),
        tmp_path / "new",
    )
    rows = (open_model(base).config.vocab_size or 0) + 1
    config = {**LORA, "trainable_token_indices": [rows - 1]}
    peft.trained(base, folder, rows=rows, **config)
    drop_whole(folder)

    with pytest.raises(ModelCheckError, match=r"no tokenizer\.json beside it"):
        merged(base, folder, tmp_path / "merged")
    named(base, folder, rows)
    request = AdapterConversion(base, [folder], "peft")
    with pytest.raises(UnrepresentableError, match="can be merged"):
        converted(request, tmp_path / "again", WriteOptions(), REGISTRY)


def drop_whole(adapter: Path) -> None:
    """Leave out the whole embedding, which PEFT saves when it has grown."""
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    kept = {name: each for name, each in tensors.items() if "base_layer" not in name}
    assert len(kept) < len(tensors)
    save_file(kept, file)


def named(base: Path, adapter: Path, rows: int) -> None:
    """Put a tokenizer beside an adapter that has a token for each row."""
    program = json.loads((base / "tokenizer.json").read_text())
    known = {*program["model"]["vocab"].values()}
    known |= {each["id"] for each in program["added_tokens"]}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    program["added_tokens"] += [
        {"id": number, "content": f"<|{number}|>", "special": True, **flags}
        for number in range(max(known) + 1, rows)
    ]
    (adapter / "tokenizer.json").write_text(json.dumps(program))


@pytest.mark.parametrize("order", [(EMBEDDING, HEAD), (HEAD, EMBEDDING)])
def test_a_tied_head_does_not_have_the_rows_of_the_embedding_too(
    order: tuple[str, str],
) -> None:
    found = model(tie_embeddings=True)
    before = found.tensors[EMBEDDING].numpy()
    new = Tensor.of(np.full((1, before.shape[1]), 9, np.float32))
    rows = {EMBEDDING: Rows((7,), new), HEAD: Rows((3,), new)}

    made = asked(found, Adapter(rows={name: rows[name] for name in order}))

    for name, number in ((EMBEDDING, 7), (HEAD, 3)):
        changed = np.flatnonzero((made[name].numpy() != before).any(axis=1))
        assert changed.tolist() == [number]


def test_a_head_that_does_not_grow_with_its_embedding_is_refused(
    tmp_path: Path,
) -> None:
    base, folder = (
        saved(model(tie_embeddings=True), tmp_path / "base"),
        tmp_path / "new",
    )
    rows = (open_model(base).config.vocab_size or 0) + 1
    indices = {"embed_tokens": [rows - 1], "lm_head": [3]}
    peft.trained(base, folder, rows=rows, **LORA, trainable_token_indices=indices)
    drop_whole(folder)
    named(base, folder, rows)

    with pytest.raises(ModelCheckError, match="save it together with its embedding"):
        merged(base, folder, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_rows_of_a_quantised_embedding_are_quantised(tmp_path: Path) -> None:
    base = saved(model("llama", "q8_0", tie_embeddings=True), tmp_path / "base.gguf")
    plain = saved(open_model(base), tmp_path / "plain")
    peft.trained(plain, tmp_path / "adapter", **LORA, trainable_token_indices=TOKENS)

    merged(base, tmp_path / "adapter", tmp_path / "merged.gguf")

    before, after = (
        open_model(path).tensors[EMBEDDING] for path in (base, tmp_path / "merged.gguf")
    )
    assert after.encoding == before.encoding
    delta = load_file(tmp_path / "adapter" / "adapter_model.safetensors")[DELTA]
    steps = np.abs(delta).max(axis=1, keepdims=True) / 127
    assert (np.abs(after.numpy()[TOKENS] - delta) <= steps).all()
    others = [n for n in range(before.shape[0]) if n not in TOKENS]
    np.testing.assert_array_equal(after.numpy()[others], before.numpy()[others])


@pytest.mark.parametrize("has_whole", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_rows_are_written_as_peft_reads_them(
    tied: bool, has_whole: bool, tmp_path: Path
) -> None:
    base = saved(model(tie_embeddings=tied), tmp_path / "base")
    folder, again = tmp_path / "adapter", tmp_path / "again"
    peft.trained(base, folder, **LORA, trainable_token_indices=TOKENS)
    before = load_file(folder / "adapter_model.safetensors")
    if has_whole:
        whole = 2 * open_model(base).tensors[EMBEDDING].numpy()
        before[DELTA.replace("trainable_tokens_delta", "base_layer.weight")] = whole
        save_file(before, folder / "adapter_model.safetensors")
    request = AdapterConversion(base, [folder], "peft")

    converted(request, again, WriteOptions(), REGISTRY)

    assert load_file(again / "adapter_model.safetensors").keys() == before.keys()
    one, other = (peft.judged(base, each, IDS).logits for each in (folder, again))
    np.testing.assert_allclose(one, other, atol=1e-6 * np.abs(one).max())


def test_a_layout_that_forgets_rows_is_found_out(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    peft.trained(base, tmp_path / "one", **LORA, trainable_token_indices=TOKENS)
    opened = conversion.opened(base, REGISTRY, LiftOptions())
    layout = REGISTRY.adapter_layout("peft")
    lay_out = layout.lay_out
    assert lay_out is not None
    forgetful = evolve(layout, lay_out=lambda each, *rest: lay_out(_bare(each), *rest))
    found = fitted(tmp_path / "one", opened, REGISTRY, MatchOptions(), None)

    writer = AdapterWriter(opened, forgetful, REGISTRY)
    with pytest.raises(UnrunnableError, match="has other rows in one of both"):
        writer.written(found.matched.adapter, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _bare(adapter: Adapter) -> Adapter:
    return evolve(adapter, rows={})


@pytest.mark.parametrize("encoding", ["f16", "f32"])
def test_changed_rows_come_in_the_encoding_that_was_asked_for(
    encoding: str, tmp_path: Path
) -> None:
    base = saved(model("llama", "bf16"), tmp_path / "base")
    peft.trained(base, tmp_path / "one", **LORA, trainable_token_indices=TOKENS)

    request = AdapterMerge(base, [tmp_path / "one"], encoding=encoding)
    merge_adapters(request, tmp_path / "merged")

    assert open_model(tmp_path / "merged").tensors[EMBEDDING].encoding.name == encoding


@pytest.mark.parametrize(
    ("indices", "error", "problem"),
    [
        (None, CorruptFileError, "expected the ids of the rows"),
        ({"lm_head": TOKENS}, CorruptFileError, "the ids of the rows that there are"),
        ([7, 0, "40"], CorruptFileError, "expected the ids of the rows"),
        ([7, 0, -1], CorruptFileError, "expected the ids of the rows"),
        ([7, 0], ModelCheckError, r"has shape \(3, 64\), expected \(2, 64\)"),
        ([7, 0, 7], ModelCheckError, "names a row twice"),
        (
            [7, 0, 300],
            ModelCheckError,
            "has row 300 of a tensor of 288, and no row 288",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    indices: Any, error: type[Exception], problem: str, tmp_path: Path
) -> None:
    base, folder = saved(model(), tmp_path / "base"), tmp_path / "adapter"
    peft.trained(base, folder, **LORA, trainable_token_indices=TOKENS)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["trainable_token_indices"] = indices
    (folder / "adapter_config.json").write_text(json.dumps(config))

    with pytest.raises(error, match=problem):
        merged(base, folder, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_rows_beside_a_change_of_the_same_weight_are_refused(tmp_path: Path) -> None:
    base, folder = saved(model(), tmp_path / "base"), tmp_path / "adapter"
    config = {**LORA, "target_modules": ["embed_tokens"]}
    peft.trained(base, folder, **config)
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors[DELTA] = np.ones((3, 64), np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    said = json.loads((folder / "adapter_config.json").read_text())
    said["trainable_token_indices"] = TOKENS
    (folder / "adapter_config.json").write_text(json.dumps(said))

    with pytest.raises(ModelCheckError, match="has a low-rank change, too"):
        merged(base, folder, tmp_path / "merged")


@pytest.mark.parametrize("layout", ["gguf", "apr"])
def test_layouts_of_pairs_have_no_place_for_rows(layout: str, tmp_path: Path) -> None:
    base, folder = saved(model(), tmp_path / "base"), tmp_path / "adapter"
    peft.trained(base, folder, **LORA, trainable_token_indices=TOKENS)
    request = AdapterConversion(base, [folder], layout)

    with pytest.raises(UnrepresentableError, match="has single rows"):
        converted(request, tmp_path / "out", WriteOptions(), REGISTRY)


def test_rows_of_two_adapters_are_not_made_one(tmp_path: Path) -> None:
    base = saved(model(), tmp_path / "base")
    for name in ("one", "other"):
        config = {**LORA, "trainable_token_indices": TOKENS}
        peft.trained(base, tmp_path / name, seed=len(name), **config)
    peft.trained(base, tmp_path / "none", **LORA)
    one, other, none = (tmp_path / name for name in ("one", "other", "none"))

    with pytest.raises(UnrepresentableError, match="replaced by"):
        merge_adapters(AdapterMerge(base, [one, other]), tmp_path / "no")
    merge_adapters(AdapterMerge(base, [none, one]), tmp_path / "merged")

    delta = load_file(one / "adapter_model.safetensors")[DELTA]
    rows = open_model(tmp_path / "merged").tensors[EMBEDDING].numpy()[TOKENS]
    np.testing.assert_array_equal(rows, delta)
