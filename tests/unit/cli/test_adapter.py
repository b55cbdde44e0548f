"""`aprhub adapter …`, `explain-merge` and `finetune --merge` as one types them in."""

from pathlib import Path

import pytest

from aprhub import open_model
from tests.adapters.makers import assert_merged, entrenar, model, oracle, pairs, peft
from tests.unit.cli.program import refused, run, succeed


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return entrenar(pairs(), tmp_path / "adapter")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.adapters.makers import saved

    return saved(model(), tmp_path_factory.mktemp("cli") / "base.gguf")


def test_merge_says_how_many_layers_were_merged(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    target = tmp_path / "merged.apr"

    done = succeed("adapter", "merge", base, adapter, "-o", target, "-v")

    assert done.out.splitlines()[-1] == "Layers merged 4/21"
    assert "layers.0.attn.q.weight: rank 4, scale 2" in done.out
    assert "alpha from lora_alpha of metadata.json" in done.out
    assert "17 kept bit for bit" in done.out
    assert_merged(target, model(), oracle(model(), pairs()))


def test_merge_tells_programs_the_same_in_lists(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    target = tmp_path / "merged.apr"

    done = succeed("adapter", "merge", base, adapter, "-o", target, "--json").json

    merge = done["merge"]
    assert (merge["layers_merged"], merge["layers"]) == (4, 21)
    assert len(merge["merged"]) == 4
    assert merge["adapters"][0]["unmatched"] == []
    assert done["schema"] == 1


def test_finetune_merge_is_the_same_merge(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    one, other = tmp_path / "one.apr", tmp_path / "other.apr"

    succeed("adapter", "merge", base, adapter, "-o", one)
    done = succeed("finetune", base, "--merge", "--adapter", adapter, "-o", other)

    assert "Layers merged 4/21" in done.out
    left, right = open_model(one), open_model(other)
    assert all(
        tensor.tobytes() == right.tensors[name].tobytes()
        for name, tensor in left.tensors.items()
    )


def test_an_adapter_is_only_merged(base: Path, adapter: Path, tmp_path: Path) -> None:
    done = run("finetune", base, f"--adapter={adapter}", "-o", tmp_path / "x.apr")

    assert done.code == 2
    assert "--adapter is what --merge merges" in done.err


def test_what_does_not_match_is_listed_with_the_contracts_name(
    base: Path, tmp_path: Path
) -> None:
    found = {name.replace("layers.1", "layers.7"): p for name, p in pairs().items()}
    adapter = entrenar(found, tmp_path / "adapter")

    words = ("adapter", "merge", base, adapter, "-o", tmp_path / "merged.apr")
    error = refused(1, *words)

    assert "lora.7.q_proj.lora_a: the base has no layers.7.attn.q.weight" in error
    assert "FALSIFY-APR-MERGE-RUNNABLE-004b" in error
    done = succeed(*words, "--allow-unmatched")
    assert "left out: lora.7.v_proj.lora_b" in done.out
    assert "Layers merged 2/21" in done.out


def test_adapters_are_converted_extracted_inspected_and_explained(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    lora, merged = tmp_path / "adapter.gguf", tmp_path / "merged.apr"

    done = succeed("adapter", "convert", base, adapter, "-o", lora)
    assert done.out.splitlines()[-1] == "gguf: 4 changes"
    assert "rank 4" in succeed("adapter", "inspect", lora).out
    assert succeed("adapter", "inspect", lora, "--json").json["layout"] == "gguf"

    succeed("adapter", "merge", base, lora, "-o", merged, "-q")
    out = tmp_path / "extracted"
    words = ("adapter", "extract", base, merged, "-o", out, "--rank", 4, "--to", "peft")
    assert succeed(*words, "--dry-run", "--json").json["dry_run"] is True
    assert "the rank misses" in succeed(*words).out

    explained = succeed("explain-merge", base, merged, out)
    assert "4 of 21 weights differ" in explained.out
    assert succeed("explain-merge", base, merged, "--json").json["right"] is True


def test_a_merge_that_was_not_made_fails_the_explanation(
    base: Path, adapter: Path
) -> None:
    done = run("explain-merge", base, base, adapter)

    assert done.code == 1
    assert "not changed, though the adapter has a pair for it" in done.out


def test_two_adapters_are_stacked_by_weight(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    other = peft(pairs(), tmp_path / "other")
    target = tmp_path / "merged.apr"
    weights = ("--weight", 0.25, "--weight", 0.75)

    succeed("adapter", "merge", base, adapter, other, "-o", target, *weights)

    assert_merged(target, model(), oracle(model(), pairs()), 1e-5)


def test_a_layout_that_is_given_is_not_recognised(base: Path, adapter: Path) -> None:
    found = succeed("adapter", "inspect", adapter, "--layout", "entrenar", "--json")

    assert found.json["layout"] == "entrenar"
    assert run("adapter", "inspect", adapter, "--layout", "gguf").code != 0


def test_several_adapters_are_cut_to_a_rank(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    other, target = peft(pairs(), tmp_path / "other"), tmp_path / "small.gguf"
    cut = ("--mode", "svd", "--svd-rank", 2)

    succeed("adapter", "convert", base, adapter, other, "-o", target, *cut)

    assert "rank 2" in succeed("adapter", "inspect", target).out


def test_an_extraction_may_leave_out_what_is_no_matrix(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    merged, target = tmp_path / "merged.apr", tmp_path / "out"
    succeed("adapter", "merge", base, adapter, "-o", merged, "-q")
    words = ("adapter", "extract", base, merged, "-o", target, "--to", "peft")

    assert "peft: 4 changes" in succeed(*words, "--rank", 4, "--pairs-only").out


def test_plugins_lists_the_layouts() -> None:
    rows = succeed("plugins", "--json").json["plugins"]

    layouts = {each["name"] for each in rows if each["kind"] == "adapter layout"}
    assert layouts == {"peft", "entrenar", "names", "apr", "gguf"}
