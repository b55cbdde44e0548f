"""`aprhub imatrix` and `aprhub diff --kl` against transformers."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from gguf import GGUFReader
from numpy.typing import NDArray

from aprhub import Tensor, open_model, save_model
from aprhub.decoder.text import token_chunks
from aprhub.registry import Registry
from tests.end_to_end.roads import convert
from tests.judges import hf
from tests.judges.compare import divergences
from tests.judges.corpus import STRINGS
from tests.judges.pico import PROMPTS, pico
from tests.unit.cli.program import refused, run, succeed

LENGTH, COUNT = 24, 5


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "prompts.txt"
    path.write_text("\n".join([*PROMPTS, *STRINGS]), "utf-8")
    return path


def cut(*words: object) -> list[object]:
    return [*words, "--seq-len", LENGTH, "--chunks", COUNT]


def chunks_of(folder: Path, text: Path) -> NDArray[np.int64]:
    tokenizer = open_model(folder).tokenizer
    assert tokenizer
    return token_chunks(text, tokenizer, LENGTH, COUNT)


def fed(folder: Path, chunks: NDArray[np.int64]) -> Mapping[str, NDArray[np.float64]]:
    """Return the sums of squares of what each matrix of a layer is fed."""
    model: Any = hf.model(folder)
    sums: dict[str, NDArray[np.float64]] = {}

    def hook(name: str) -> Any:
        def add(_module: Any, given: Any) -> None:
            rows = given[0].reshape(-1, given[0].shape[-1]).double().numpy()
            sums[name] = sums.get(name, 0) + (rows**2).sum(0)

        return add

    for name, module in model.model.layers.named_modules(prefix="model.layers"):
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(hook(f"{name}.weight"))
    with torch.inference_mode():
        for chunk in chunks:
            model(torch.from_numpy(chunk)[None], use_cache=False)
    return sums


@pytest.mark.parametrize("family", ["llama-spm", "gemma3"])
def test_an_importance_matrix_has_the_sums_of_transformers(
    family: str, text: Path, tmp_path: Path
) -> None:
    folder, target = pico(family), tmp_path / "m.gguf"
    succeed(*cut("imatrix", folder, text, "-o", target, "--batch-size", 2))

    found = {each.name: each.data for each in GGUFReader(target).tensors}
    expected = dict(renamed(fed(folder, chunks_of(folder, text)), family))

    assert found.keys() == {
        f"{name}.{part}" for name in expected for part in ("in_sum2", "counts")
    }
    for name, sums in expected.items():
        assert found[f"{name}.counts"].tolist() == [COUNT * LENGTH]
        assert np.allclose(found[f"{name}.in_sum2"], sums, rtol=1e-4, atol=0), name


def renamed(
    sums: Mapping[str, NDArray[np.float64]], family: str
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    registry = Registry.load()
    table = registry.family(family.partition("-")[0])
    theirs, ours = registry.naming("hf"), registry.naming("ggml")
    for name, values in sums.items():
        canonical = theirs.to_ours(name, table)
        spelling = canonical and ours.to_theirs(canonical.canonical, table)
        assert spelling
        yield spelling.stored, values


def test_an_importance_matrix_says_what_it_was_measured_on(
    text: Path, tmp_path: Path
) -> None:
    target = tmp_path / "m.gguf"
    done = succeed(*cut("imatrix", pico("llama-spm"), text, "-o", target))

    assert done.out == (
        f"wrote {target}: 14 matrices, measured on 5 chunks of 24 tokens\n"
    )
    fields = GGUFReader(target).fields
    assert fields["general.type"].contents() == "imatrix"
    assert fields["imatrix.datasets"].contents() == ["prompts.txt"]
    assert fields["imatrix.chunk_count"].contents() == COUNT
    assert fields["imatrix.chunk_size"].contents() == LENGTH


def test_the_json_of_an_importance_matrix_has_the_counts(
    text: Path, tmp_path: Path
) -> None:
    words = cut("imatrix", pico("llama-spm"), text, "-o", tmp_path / "m.gguf")

    found = succeed(*words, "--json").json

    assert (found["chunks"], found["chunk_size"]) == (COUNT, LENGTH)
    assert found["counts"]["layers.1.ffn.down.weight"] == [COUNT * LENGTH]


def test_an_importance_matrix_replaces_nothing_unasked(
    text: Path, tmp_path: Path
) -> None:
    target = tmp_path / "m.gguf"
    target.write_bytes(b"mine")
    words = cut("imatrix", pico("llama-spm"), "-o", target)

    # Before anything is read or run: the text need not even be there.
    assert "exists already" in refused(2, *words, tmp_path / "absent")
    assert target.read_bytes() == b"mine"
    succeed(*words, text, "--force")
    assert target.read_bytes() != b"mine"


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_a_divergence_is_that_of_the_logits_of_transformers(
    kind: str, text: Path, tmp_path: Path
) -> None:
    folder = pico("llama-spm")
    small, wide = tmp_path / "small.gguf", tmp_path / "wide"
    succeed("quantize", folder, small, "--type", kind)
    convert(small, wide, dtype="f32")

    found = succeed(*cut("diff", folder, small, "--kl", text), "--json").json

    pairs = [
        (hf.logits(folder, ids), hf.logits(wide, ids))
        for ids in chunks_of(folder, text).tolist()
    ]
    expected = np.concatenate([divergences(other, one) for one, other in pairs])
    agreed = np.concatenate(
        [one.argmax(-1) == other.argmax(-1) for one, other in pairs]
    )
    assert (found["chunks"], found["chunk_size"]) == (COUNT, LENGTH)
    assert found["mean"] > 1e-4
    assert found["mean"] == pytest.approx(expected.mean(), rel=1e-3)
    assert found["max"] == pytest.approx(expected.max(), rel=1e-3)
    assert found["median"] == pytest.approx(np.median(expected), rel=1e-3)
    assert found["p90"] == pytest.approx(np.percentile(expected, 90), rel=1e-3)
    assert found["p99"] == pytest.approx(np.percentile(expected, 99), rel=1e-3)
    assert found["same_top"] == agreed.mean()


def test_a_model_does_not_diverge_from_itself_in_another_format(
    text: Path, tmp_path: Path
) -> None:
    folder = pico("llama-spm")
    convert(folder, tmp_path / "m.apr")

    done = succeed(*cut("diff", folder, tmp_path / "m.apr", "--kl", text))

    assert done.out.splitlines() == [
        "5 chunks of 24 tokens",
        *(f"KL {name:<6}  0.000000" for name in ("mean", "median", "p90", "p95")),
        *(f"KL {name:<6}  0.000000" for name in ("p99", "max")),
        "same top   1.000000",
    ]


def test_models_with_other_tokens_are_refused_by_name(text: Path) -> None:
    complaint = refused(
        1, *cut("diff", pico("llama-spm"), pico("mistral"), "--kl", text)
    )

    assert f"{pico('mistral')}: 32000 rows of tokens" in complaint
    assert str(pico("llama-spm")) in complaint


def test_ids_that_mean_other_tokens_are_refused(text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "swapped"
    shutil.copytree(pico("llama-spm"), folder)
    program = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    words = program["model"]["vocab"]
    one, other = list(words)[-2:]
    words[one], words[other] = words[other], words[one]
    (folder / "tokenizer.json").write_text(json.dumps(program), "utf-8")

    complaint = refused(1, *cut("diff", pico("llama-spm"), folder, "--kl", text))

    assert (
        f"{folder}: another tokenizer: token {words[other]} is {other!r}" in complaint
    )


def test_a_text_that_is_cut_otherwise_is_refused(text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unstarted"
    shutil.copytree(pico("llama-spm"), folder)
    program = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    program["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(program), "utf-8")
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    settings["add_bos_token"] = False
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")

    complaint = refused(1, *cut("diff", pico("llama-spm"), folder, "--kl", text))

    assert f"{folder}: its tokenizer cuts {text} otherwise" in complaint


def test_weights_that_are_no_numbers_are_refused(text: Path, tmp_path: Path) -> None:
    model = open_model(pico("llama-spm"))
    name = "layers.0.ffn.up.weight"
    broken = np.full(model.tensors[name].shape, np.nan, np.float32)
    tensors = {**model.tensors, name: Tensor.of(broken)}
    save_model(evolve(model, tensors=tensors), tmp_path / "nan.apr")
    target = tmp_path / "m.gguf"

    one = refused(1, *cut("imatrix", tmp_path / "nan.apr", text, "-o", target))
    two = refused(
        1, *cut("diff", pico("llama-spm"), tmp_path / "nan.apr", "--kl", text)
    )

    assert "layers.0.ffn.down.weight: its inputs are not finite on this text" in one
    assert not target.exists()
    assert "logits: not finite on this text" in two
    assert "while working on" in two


def test_a_model_whose_names_are_kept_is_refused(text: Path, tmp_path: Path) -> None:
    words = ("imatrix", pico("llama-spm"), text, "-o", tmp_path / "m.gguf")

    assert "with names kept" in refused(2, *words, "--naming", "keep")


def test_chunks_beyond_what_a_model_is_made_for_are_refused(
    text: Path, tmp_path: Path
) -> None:
    words = ("imatrix", pico("llama-spm"), text, "-o", tmp_path / "m.gguf")

    complaint = refused(2, *words, "--seq-len", 513)

    assert f"{pico('llama-spm')}: made for 512 tokens" in complaint


def test_options_of_a_text_need_one() -> None:
    done = run("diff", "one", "other", "--chunks", 3)

    assert done.code == 2
    assert "--chunks belongs to a text: say --kl" in done.err
