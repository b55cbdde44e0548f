"""Adapters of any layout merged into bases of any format, against a float64 oracle."""

import itertools
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from gguf import GGUFReader, GGUFWriter
from safetensors.numpy import load_file, save_file

from aprhub import ConvertOptions, ModelIR, Tensor, open_model, save_model
from aprhub.adapters.matching import MatchOptions
from aprhub.adapters.operations import AdapterMerge
from aprhub.adapters.reports import MergeReport
from aprhub.errors import (
    AprhubError,
    CorruptFileError,
    ModelCheckError,
    TargetExistsError,
    UnrepresentableError,
    UnrunnableError,
    UnsupportedFileError,
    UsageError,
)
from aprhub.front import merge_adapters
from aprhub.ir.lowrank import LowRank, updated
from tests.adapters.makers import (
    REGISTRY,
    Pairs,
    assert_merged,
    canonical,
    entrenar,
    model,
    oracle,
    pairs,
    peft,
    saved,
)

SUFFIXES = ("", ".apr", ".gguf")
_DOWN = [f"layers.1.experts.{expert}.ffn.down.weight" for expert in range(4)]


def merge(base: Path, adapter: Path, target: Path, **options: Any) -> MergeReport:
    """Merge with the options of matching, merging and writing by their names."""
    match = MatchOptions(
        options.pop("alpha", None), options.pop("allow_unmatched", False)
    )
    encoding = options.pop("encoding", "keep")
    request = AdapterMerge(base, [adapter], match, encoding)
    how = ConvertOptions(**options)
    return merge_adapters(request, target, how, registry=REGISTRY)


@pytest.fixture(scope="module")
def before() -> ModelIR:
    return model()


@pytest.fixture(scope="module")
def bases(before: ModelIR, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    for suffix in SUFFIXES:
        saved(before, folder / f"base{suffix}")
    return folder


@pytest.fixture
def base(bases: Path) -> Path:
    return bases / "base"


# FALSIFY-APR-MERGE-RUNNABLE-001, -004 and -004b.
@pytest.mark.parametrize("suffixes", [*itertools.product(SUFFIXES, SUFFIXES)])
@pytest.mark.parametrize("layout", [entrenar, peft])
def test_every_base_gets_the_same_weights_from_every_adapter(
    layout: Callable[[Pairs, Path], Path],
    suffixes: tuple[str, str],
    bases: Path,
    before: ModelIR,
    tmp_path: Path,
) -> None:
    adapter = layout(pairs(), tmp_path / "adapter")
    target = tmp_path / f"merged{suffixes[1]}"

    report = merge(bases / f"base{suffixes[0]}", adapter, target, verify="values")

    assert_merged(target, before, oracle(before, pairs()))
    assert report.summary == "Layers merged 4/21"
    assert sorted(report.merged) == sorted(map(canonical, pairs()))


def test_the_rank_is_that_of_the_matrices_whatever_the_sidecar_says(
    base: Path, before: ModelIR, tmp_path: Path
) -> None:
    found = {**pairs(4, 1), **dict(list(pairs(6).items())[2:])}
    sidecar = {"lora_rank": 512, "lora_alpha": 8}
    adapter = entrenar(found, tmp_path / "adapter", sidecar=sidecar)

    merge(base, adapter, tmp_path / "merged.apr")

    assert_merged(tmp_path / "merged.apr", before, oracle(before, found))


ALPHAS: Mapping[str, tuple[float | None, dict[str, str], float]] = {
    "--alpha": (3.0, {"lora_alpha": "6"}, 3.0),
    "lora_alpha of the header": (None, {"lora_alpha": "6"}, 6.0),
    "lora_alpha of metadata.json": (None, {}, 12.0),
}


@pytest.mark.parametrize("where", ALPHAS)
def test_alpha_is_what_the_first_place_says(
    where: str, base: Path, before: ModelIR, tmp_path: Path
) -> None:
    told, header, alpha = ALPHAS[where]
    sidecar = {"lora_alpha": 12}
    adapter = entrenar(pairs(), tmp_path / "adapter", header=header, sidecar=sidecar)

    report = merge(base, adapter, tmp_path / "merged.apr", alpha=told)

    assert report.adapters[0].alpha_from == where
    assert_merged(tmp_path / "merged.apr", before, oracle(before, pairs(), alpha))


def test_alpha_of_the_user_comes_before_that_of_a_pattern(
    base: Path, before: ModelIR, tmp_path: Path
) -> None:
    pattern = {"q_proj": 3, "v_proj": 5}
    adapter = peft(pairs(), tmp_path / "adapter", alpha_pattern=pattern)

    report = merge(base, adapter, tmp_path / "merged", alpha=6.0)

    assert report.adapters[0].alpha_from == "--alpha"
    assert_merged(tmp_path / "merged", before, oracle(before, pairs(), 6.0))


def test_alpha_in_an_adapter_config_comes_before_the_sidecar(
    base: Path, before: ModelIR, tmp_path: Path
) -> None:
    adapter = entrenar(pairs(), tmp_path / "adapter", sidecar={"lora_alpha": 99})
    (adapter / "adapter_config.json").write_text('{"lora_alpha": 5}')

    merge(base, adapter, tmp_path / "merged.apr")

    assert_merged(tmp_path / "merged.apr", before, oracle(before, pairs(), 5.0))


def test_without_any_alpha_the_places_looked_at_are_listed(
    base: Path, tmp_path: Path
) -> None:
    adapter = entrenar(pairs(), tmp_path / "adapter", sidecar={"lora_rank": 4})

    with pytest.raises(ModelCheckError) as caught:
        merge(base, adapter, tmp_path / "merged.apr")

    for place in ("--alpha", "header", "adapter_config.json", "metadata.json"):
        assert place in str(caught.value)
    assert not (tmp_path / "merged.apr").exists()


def _with(adapter: Path, **tensors: np.ndarray) -> Path:
    file = adapter / "model.safetensors"
    save_file({**load_file(file), **tensors}, file)
    return adapter


LEFT_OVER = {
    "no weight": "classifier.weight",
    "no such layer": "lora.9.q_proj.lora_a",
    "half of a pair": "lora.0.k_proj.lora_a",
}


@pytest.mark.parametrize("kind", LEFT_OVER)
def test_a_tensor_without_a_place_is_an_error_unless_allowed(
    kind: str, base: Path, before: ModelIR, tmp_path: Path
) -> None:
    extra = {LEFT_OVER[kind]: np.ones((4, 64), np.float32)}
    adapter = _with(entrenar(pairs(), tmp_path / "adapter"), **extra)
    target = tmp_path / "merged.apr"

    with pytest.raises(ModelCheckError) as caught:
        merge(base, adapter, target)
    assert LEFT_OVER[kind] in str(caught.value)
    assert caught.value.__notes__[0] == "FALSIFY-APR-MERGE-RUNNABLE-004"
    assert not target.exists()

    report = merge(base, adapter, target, allow_unmatched=True)
    assert_merged(target, before, oracle(before, pairs()))
    use = report.adapters[0]
    assert len(use.unmatched) + len(use.orphans) == 1


# FALSIFY-APR-MERGE-RUNNABLE-005.
@pytest.mark.parametrize("allowed", [False, True])
def test_an_adapter_that_matches_nothing_is_always_an_error(
    allowed: bool, base: Path, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    a = np.ones((4, 64), np.float32)
    save_file(
        {"lora.7.q_proj.lora_a": a, "lora.7.q_proj.lora_b": a.T.copy()},
        adapter / "model.safetensors",
    )

    with pytest.raises(ModelCheckError) as caught:
        merge(base, adapter, tmp_path / "merged.apr", allow_unmatched=allowed)

    assert "lora.7.q_proj.lora_a" in str(caught.value)
    assert "entrenar" in str(caught.value)
    assert caught.value.__notes__[0] == "FALSIFY-APR-MERGE-RUNNABLE-005"
    assert sorted(tmp_path.iterdir()) == [adapter]


def test_a_pair_without_effect_is_not_counted_as_merged(
    base: Path, before: ModelIR, tmp_path: Path
) -> None:
    found = dict(pairs())
    idle = next(iter(found))
    found[idle] = (found[idle][0], np.zeros_like(found[idle][1]))
    adapter = entrenar(found, tmp_path / "adapter")

    report = merge(base, adapter, tmp_path / "merged.apr")

    assert report.summary == "Layers merged 3/21"
    assert report.without_effect == (canonical(idle),)
    del found[idle]
    assert_merged(tmp_path / "merged.apr", before, oracle(before, found))


@pytest.mark.parametrize("stored", ["q8_0", "f16"])
def test_a_change_that_an_encoding_cannot_tell_is_not_counted_as_merged(
    stored: str, tmp_path: Path
) -> None:
    before = model("llama", stored)
    base = saved(before, tmp_path / "base.gguf")
    lost, *rest = pairs().items()
    small = {lost[0]: (lost[1][0] * np.float32(1e-9), lost[1][1])}
    adapter = peft({**small, **dict(rest)}, tmp_path / "adapter")

    report = merge(base, adapter, tmp_path / "merged.gguf")

    assert report.vanished == (canonical(lost[0]),)
    assert report.merged.keys() == {canonical(name) for name, _ in rest}
    after = open_model(tmp_path / "merged.gguf", registry=REGISTRY)
    name = canonical(lost[0])
    assert after.tensors[name].tobytes() == before.tensors[name].tobytes()
    nothing = peft(small, tmp_path / "nothing")
    with pytest.raises(ModelCheckError, match="1 tensors are less than") as caught:
        merge(base, nothing, tmp_path / "nothing.gguf")
    assert caught.value.__notes__[0] == "FALSIFY-APR-MERGE-RUNNABLE-005"
    assert not (tmp_path / "nothing.gguf").exists()


def test_an_adapter_that_was_never_trained_is_an_error(
    base: Path, tmp_path: Path
) -> None:
    found = {name: (a, np.zeros_like(b)) for name, (a, b) in pairs().items()}
    adapter = entrenar(found, tmp_path / "adapter")

    with pytest.raises(ModelCheckError, match="product of zero") as caught:
        merge(base, adapter, tmp_path / "merged.apr")

    assert caught.value.__notes__[0] == "FALSIFY-APR-MERGE-RUNNABLE-005"


@pytest.mark.parametrize("half", [0, 1])
def test_a_matrix_with_no_numbers_is_refused(
    half: int, base: Path, tmp_path: Path
) -> None:
    found = pairs()
    list(found.values())[1][half][-1, -1] = np.nan
    adapter = entrenar(found, tmp_path / "adapter")

    with pytest.raises(ModelCheckError, match="infinite values or NaN"):
        merge(base, adapter, tmp_path / "merged.apr")


# A transposed pair of a square weight has the same number of elements.
@pytest.mark.parametrize("stored", ["f32", "f16", "q8_0"])
def test_a_scale_that_weights_cannot_hold_is_refused(
    stored: str, tmp_path: Path
) -> None:
    base = saved(model("llama", stored), tmp_path / "base.gguf")
    adapter = entrenar(pairs(), tmp_path / "adapter")
    target = tmp_path / "merged.gguf"

    for alpha, what in (
        (float("nan"), "alpha is nan"),
        (1e30 if stored == "q8_0" else 1e40, "infinite|cannot hold"),
    ):
        with pytest.raises((ModelCheckError, UnrepresentableError), match=what):
            merge(base, adapter, target, alpha=alpha)
    if stored == "f16":
        with pytest.raises(UnrepresentableError, match="too large for f16"):
            merge(base, adapter, target, alpha=1e9)

    assert not target.exists()


def test_transposed_matrices_are_refused_by_their_shape(
    base: Path, tmp_path: Path
) -> None:
    found = {
        name: (a.T.copy(), b.T.copy())
        for name, (a, b) in pairs(targets=("q_proj",)).items()
    }
    adapter = entrenar(found, tmp_path / "adapter")

    with pytest.raises(ModelCheckError, match="has shape"):
        merge(base, adapter, tmp_path / "merged.apr")


# FALSIFY-APR-MERGE-RUNNABLE-002.
def test_a_format_is_never_written_under_anothers_extension(
    base: Path, tmp_path: Path
) -> None:
    adapter = entrenar(pairs(), tmp_path / "adapter")

    with pytest.raises(UsageError) as caught:
        merge(base, adapter, tmp_path / "out.safetensors", target_format="apr")

    assert caught.value.__notes__[0] == "FALSIFY-APR-MERGE-RUNNABLE-002"
    assert sorted(tmp_path.iterdir()) == [adapter]


# FALSIFY-APR-MERGE-RUNNABLE-003.
def test_a_model_that_would_not_run_leaves_what_stood_there(
    before: ModelIR, tmp_path: Path
) -> None:
    base = tmp_path / "base.apr"
    mute = evolve(before, tokenizer=None)
    save_model(mute, base, ConvertOptions(allow_unrunnable=True), registry=REGISTRY)
    adapter = entrenar(pairs(), tmp_path / "adapter")
    target = tmp_path / "merged.apr"
    target.write_bytes(b"a good file")

    with pytest.raises(UnrunnableError) as caught:
        merge(base, adapter, target, force=True)

    assert caught.value.__notes__[0] == "FALSIFY-APR-MERGE-RUNNABLE-003"
    assert target.read_bytes() == b"a good file"
    assert sorted(tmp_path.iterdir()) == [adapter, base, target]


def test_a_failed_merge_leaves_what_stood_at_the_output(
    base: Path, tmp_path: Path
) -> None:
    adapter = entrenar(pairs(), tmp_path / "adapter")
    file = adapter / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-64])
    target = tmp_path / "merged.gguf"
    target.write_bytes(b"a good file")

    for force in (False, True):
        with pytest.raises(AprhubError):
            merge(base, adapter, target, force=force)

    assert target.read_bytes() == b"a good file"


def test_an_output_that_exists_is_not_replaced_unasked(
    base: Path, tmp_path: Path
) -> None:
    adapter = entrenar(pairs(), tmp_path / "adapter")
    merge(base, adapter, tmp_path / "merged.apr")

    with pytest.raises(TargetExistsError):
        merge(base, adapter, tmp_path / "merged.apr")


def test_two_merges_into_one_output_leave_one_of_both_whole(
    base: Path, before: ModelIR, tmp_path: Path
) -> None:
    adapter = entrenar(pairs(), tmp_path / "adapter")
    target = tmp_path / "merged.apr"

    def run(alpha: float) -> None:
        merge(base, adapter, target, alpha=alpha, force=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, (4.0, 16.0)))

    after = open_model(target, registry=REGISTRY)
    name = canonical(next(iter(pairs())))
    values = after.tensors[name].numpy()
    distances = [
        np.abs(values - oracle(before, pairs(), alpha)[name]).max()
        for alpha in (4.0, 16.0)
    ]
    assert min(distances) < 1e-5 < max(distances)
    assert sorted(tmp_path.iterdir()) == [adapter, target]


def test_a_dry_run_tells_the_same_and_writes_nothing(
    base: Path, tmp_path: Path
) -> None:
    adapter = entrenar(pairs(), tmp_path / "adapter")
    target = tmp_path / "merged.apr"

    plan = merge(base, adapter, target, dry_run=True)
    assert not target.exists()
    done = merge(base, adapter, target)

    assert plan.written.files == done.written.files
    assert plan.merged == done.merged


@pytest.mark.parametrize("encoding", ["keep", "f16", "bf16", "f32"])
@pytest.mark.parametrize("stored", ["q8_0", "f16"])
def test_changed_tensors_get_the_encoding_asked_for_and_others_keep_theirs(
    stored: str, encoding: str, tmp_path: Path
) -> None:
    before = model("llama", stored)
    base = saved(before, tmp_path / "base.gguf")
    adapter = entrenar(pairs(), tmp_path / "adapter")
    target = tmp_path / "merged.gguf"

    merge(base, adapter, target, encoding=encoding, verify="values")

    wanted = stored if encoding == "keep" else encoding
    tolerance = {"q8_0": 1e-2, "f16": 1e-3, "bf16": 8e-3, "f32": 1e-6}[wanted]
    assert_merged(target, before, oracle(before, pairs()), tolerance)
    after = open_model(target, registry=REGISTRY)
    changed = {after.tensors[canonical(name)].encoding.name for name in pairs()}
    assert changed == {wanted}


def test_no_bytes_of_other_tensors_change_where_gguf_itself_looks(
    tmp_path: Path,
) -> None:
    base = saved(model("llama", "q8_0"), tmp_path / "base.gguf")
    adapter = entrenar(pairs(), tmp_path / "adapter")

    merge(base, adapter, tmp_path / "merged.gguf")

    one, other = (
        {each.name: each.data.tobytes() for each in GGUFReader(path).tensors}
        for path in (base, tmp_path / "merged.gguf")
    )
    changed = {name for name in one | other if one.get(name) != other.get(name)}
    assert changed == {f"blk.{i}.attn_{x}.weight" for i in (0, 1) for x in "qv"}


def test_a_quantised_weight_is_merged_in_f32_where_the_target_would_decode_it(
    tmp_path: Path,
) -> None:
    before = model("llama", "q8_0")
    base = saved(before, tmp_path / "base.gguf")
    adapter = entrenar(pairs(), tmp_path / "adapter")

    merge(base, adapter, tmp_path / "merged")

    expected = oracle(before, pairs())
    after = open_model(tmp_path / "merged", registry=REGISTRY)
    for name, values in expected.items():
        found = after.tensors[name].numpy()
        np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-5)


def test_without_an_encoder_the_alternatives_are_named(tmp_path: Path) -> None:
    before = model("llama", "iq2_xs", "f16", hidden_size=256)
    base = saved(before, tmp_path / "base.gguf")
    random = np.random.default_rng(1)
    a = random.normal(size=(4, 256)).astype(np.float32)
    b = random.normal(size=(64, 4)).astype(np.float32)
    adapter = peft({"layers.0.self_attn.q_proj": (a, b)}, tmp_path / "adapter")

    with pytest.raises(UnrepresentableError) as caught:
        merge(base, adapter, tmp_path / "merged.gguf")
    assert "give changed tensors --merged-encoding" in str(caught.value)

    merge(base, adapter, tmp_path / "merged.gguf", encoding="f16")


def test_the_lineage_names_both_inputs(base: Path, tmp_path: Path) -> None:
    adapter = entrenar(pairs(), tmp_path / "adapter")

    merge(base, adapter, tmp_path / "merged.apr", alpha=4.0, encoding="f32")

    step = open_model(tmp_path / "merged.apr").provenance.lineage[-1]
    assert step.operation == "adapter merge"
    assert (step.options["alpha"], step.options["merged_encoding"]) == (4.0, "f32")
    assert step.inputs.keys() == {"base", "adapter"}
    assert step.options["layers_merged"] == 4


REFUSED_CONFIGS = {
    "peft_type": "IA3",
    "layer_replication": [[0, 1]],
    "alora_invocation_tokens": [1],
    "init_lora_weights": "pissa",
    "use_qalora": True,
    "ensure_weight_tying": True,
}


@pytest.mark.parametrize("key", REFUSED_CONFIGS)
def test_adapters_that_are_no_plain_change_of_weights_are_refused(
    key: str, base: Path, tmp_path: Path
) -> None:
    adapter = peft(pairs(), tmp_path / "adapter", **{key: REFUSED_CONFIGS[key]})

    with pytest.raises(UnsupportedFileError, match=key):
        merge(base, adapter, tmp_path / "merged.apr")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"lora_alpha": "much"}',
        '{"lora_alpha": NaN}',
        '{"lora_alpha": 1, "lora_alpha": 2}',
        '{"alpha_pattern": 3}',
        '{"use_rslora": 1}',
        '{"alpha_pattern": {"(": 3}}',
    ],
)
def test_a_broken_configuration_is_refused(
    text: str, base: Path, tmp_path: Path
) -> None:
    adapter = peft(pairs(), tmp_path / "adapter")
    (adapter / "adapter_config.json").write_text(text)

    with pytest.raises(CorruptFileError, match=r"adapter_config\.json"):
        merge(base, adapter, tmp_path / "merged.apr")


def test_a_pattern_that_could_be_matched_without_end_is_refused(
    base: Path, tmp_path: Path
) -> None:
    adapter = peft(pairs(), tmp_path / "adapter", alpha_pattern={"(.+)+$": 3})

    with pytest.raises(UnsupportedFileError, match="repeats a group"):
        merge(base, adapter, tmp_path / "merged.apr")


def test_two_adapters_of_one_name_are_both_in_the_lineage(
    base: Path, tmp_path: Path
) -> None:
    (tmp_path / "more").mkdir()
    paths = [entrenar(pairs(), tmp_path / at) for at in ("adapter", "more/adapter")]

    merge_adapters(AdapterMerge(base, paths), tmp_path / "m.apr", registry=REGISTRY)

    step = open_model(tmp_path / "m.apr").provenance.lineage[-1]
    assert step.inputs.keys() == {"base", "adapter", "adapter (2)"}


def test_a_pickle_is_refused_as_such(base: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8}))
    (adapter / "adapter_model.bin").write_bytes(b"\x80\x02}q\x00.")

    with pytest.raises(UnsupportedFileError, match="pickle"):
        merge(base, adapter, tmp_path / "merged.apr")


def test_large_weights_come_out_the_same_whatever_is_read_at_a_time() -> None:
    random = np.random.default_rng(3)
    weight = Tensor.of(random.normal(size=(700, 1000)).astype(np.float32))
    a = Tensor.of(random.normal(size=(8, 1000)).astype(np.float32))
    b = Tensor.of(random.normal(size=(700, 8)).astype(np.float32))
    merged = updated(weight, LowRank(a, b, 16.0))

    whole = merged.tobytes()

    for start, length in ((0, 4), (1_234_567, 400_000), (2_799_996, 4)):
        out = np.empty(length, np.uint8)
        merged.read_into(start, out)
        assert out.tobytes() == whole[start : start + length]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_fused_in_the_adapter_changes_each_weight(
    suffix: str, tmp_path: Path
) -> None:
    before = model("phi3", "f32", "f32")
    base = saved(before, tmp_path / f"base{suffix}")
    parts = [f"layers.0.attn.{each}.weight" for each in ("q", "k", "v")]
    rows = [before.tensors[name].shape[0] for name in parts]
    random = np.random.default_rng(2)
    a = random.normal(size=(4, before.tensors[parts[0]].shape[1])).astype(np.float32)
    b = random.normal(size=(sum(rows), 4)).astype(np.float32)
    adapter = peft({"layers.0.self_attn.qkv_proj": (a, b)}, tmp_path / "adapter")

    report = merge(base, adapter, tmp_path / f"merged{suffix}")

    after = open_model(tmp_path / f"merged{suffix}")
    deltas = np.split(2.0 * (b.astype(np.float64) @ a), np.cumsum(rows)[:-1])
    for name, delta in zip(parts, deltas, strict=True):
        found = after.tensors[name].numpy() - before.tensors[name].numpy()
        np.testing.assert_allclose(found, delta, rtol=1e-4, atol=1e-4)
    assert len(report.merged) == 3


def test_a_gguf_adapter_of_stacked_experts_changes_each_expert(tmp_path: Path) -> None:
    before = model("mixtral", "f32", "f32")
    base = saved(before, tmp_path / "base.gguf")
    shapes = [before.tensors[each].shape for each in _DOWN]
    random = np.random.default_rng(4)
    a = random.normal(size=(len(_DOWN), 2, shapes[0][1])).astype(np.float32)
    b = random.normal(size=(len(_DOWN), shapes[0][0], 2)).astype(np.float32)
    writer = GGUFWriter(tmp_path / "adapter.gguf", "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 4.0)
    for half, values in (("a", a), ("b", b)):
        writer.add_tensor(f"blk.1.ffn_down_exps.weight.lora_{half}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    report = merge(base, tmp_path / "adapter.gguf", tmp_path / "merged.gguf")

    after = open_model(tmp_path / "merged.gguf")
    for name, delta in zip(_DOWN, 2.0 * (b.astype(np.float64) @ a), strict=True):
        found = after.tensors[name].numpy() - before.tensors[name].numpy()
        np.testing.assert_allclose(found, delta, rtol=1e-4, atol=1e-4)
    assert [*report.merged] == [*_DOWN]


@pytest.mark.parametrize(("rows", "columns"), [(7, 8), (8, 7)], ids=["of A", "of B"])
def test_a_rank_that_experts_cannot_share_is_refused(
    rows: int, columns: int, tmp_path: Path
) -> None:
    before = model("mixtral", "f32", "f32")
    base = saved(before, tmp_path / "base")
    height, width = before.tensors[_DOWN[0]].shape
    halves = (np.ones((rows, width), "<f4"), np.ones((height, columns), "<f4"))
    adapter = peft(
        {"layers.1.mlp.experts": halves},
        tmp_path / "adapter",
        target_parameters=["experts.down_proj"],
    )

    with pytest.raises(ModelCheckError, match="which 4 experts cannot share"):
        merge(base, adapter, tmp_path / "merged")


def test_an_adapter_of_stacked_experts_has_no_place(tmp_path: Path) -> None:
    before = model("mixtral", "f32", "f32")
    base = saved(before, tmp_path / "base.gguf")
    a, b = np.ones((2, 64), np.float32), np.ones((64, 2), np.float32)
    adapter = peft({"layers.0.mlp.experts.gate_up_proj": (a, b)}, tmp_path / "adapter")

    with pytest.raises(ModelCheckError, match="none of its 2 tensors"):
        merge(base, adapter, tmp_path / "merged.gguf")
