"""Importance matrices of llama.cpp: both kinds of files, checked, matched and told."""

import hashlib
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from attrs import evolve

import aprhub
from aprhub.errors import (
    AprhubError,
    ModelCheckError,
    TargetExistsError,
    UnrepresentableError,
    UnsupportedFileError,
)
from aprhub.importance import save_importance
from aprhub.ir.importance import Importance, Measured
from aprhub.registry import Registry
from tests.judges import deep, importances
from tests.judges.importances import CHUNK_SIZE, CHUNKS, DATASET, Entry
from tests.judges.tensor_digest import digest
from tests.unit.cli.program import refused, succeed

Entries = dict[str, Entry]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "odd.gguf"
    aprhub.convert(deep.deep("odd"), path)
    return path


@pytest.fixture(scope="module")
def entries(model: Path) -> Entries:
    return importances.entries(model)


@pytest.fixture
def matrix(entries: Entries, tmp_path: Path) -> Path:
    return importances.write_gguf(tmp_path / "imatrix.gguf", entries)


def quantised(source: Path, target: Path, matrix: Path, **more: Any) -> aprhub.Report:
    options = {"quantize": "q4_k_m", "imatrix": matrix, **more}
    return aprhub.convert(source, target, aprhub.ConvertOptions(**options))


def keys(path: Path) -> dict[str, Any]:
    fields = gguf.GGUFReader(path).fields
    return {name: each.contents() for name, each in fields.items()}


def test_both_kinds_of_files_say_the_same(
    model: Path, entries: Entries, matrix: Path, tmp_path: Path
) -> None:
    older = tmp_path / "imatrix.dat"
    # Calls are a power of two here, so that to multiply and divide rounds nothing.
    older.write_bytes(importances.legacy(entries, calls=4))

    quantised(model, tmp_path / "a.gguf", matrix)
    quantised(model, tmp_path / "b.gguf", older)

    assert digest(tmp_path / "a.gguf") == digest(tmp_path / "b.gguf")


def test_the_source_may_be_of_any_format(
    model: Path, matrix: Path, tmp_path: Path
) -> None:
    quantised(model, tmp_path / "a.gguf", matrix)
    quantised(deep.deep("odd"), tmp_path / "b.gguf", matrix, workers=3)

    assert digest(tmp_path / "a.gguf") == digest(tmp_path / "b.gguf")


def test_the_output_says_what_llama_cpp_says_of_the_matrix(
    model: Path, entries: Entries, matrix: Path, tmp_path: Path
) -> None:
    quantised(model, tmp_path / "q.gguf", matrix)

    found = keys(tmp_path / "q.gguf")
    assert found["quantize.imatrix.file"] == str(matrix)[:127]
    assert found["quantize.imatrix.dataset"] == DATASET
    assert found["quantize.imatrix.entries_count"] == len(entries)
    assert found["quantize.imatrix.chunks_count"] == CHUNKS


def test_another_matrix_leaves_nothing_of_the_first(
    model: Path, entries: Entries, matrix: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.dat"
    other.write_bytes(importances.legacy(entries)[: -len(DATASET) - 8])

    quantised(model, tmp_path / "a.gguf", matrix)
    quantised(tmp_path / "a.gguf", tmp_path / "b.gguf", other, quantize="q6_k")

    found = keys(tmp_path / "b.gguf")
    assert found["quantize.imatrix.file"] == str(other)[:127]
    assert "quantize.imatrix.dataset" not in found
    assert "quantize.imatrix.chunks_count" not in found


def test_the_lineage_names_the_matrix_by_its_hash(
    model: Path, matrix: Path, tmp_path: Path
) -> None:
    quantised(model, tmp_path / "q.gguf", matrix)

    step = aprhub.open_model(tmp_path / "q.gguf").provenance.lineage[-1]
    hashed = hashlib.sha256(matrix.read_bytes()).hexdigest()
    assert step.options["imatrix"] == f"sha256:{hashed}"


def test_the_command_verifies_what_it_quantised_with_a_matrix(
    model: Path, matrix: Path, tmp_path: Path
) -> None:
    words = ("quantize", model, tmp_path / "q.gguf", "--type", "IQ3_M")

    text = succeed(*words, "--imatrix", matrix, "--verify").out

    assert "verified by values" in text
    assert "quantised without" in text
    assert "none of token_embd.weight;" in text


def test_apr_files_are_quantised_with_a_matrix_too(tmp_path: Path) -> None:
    source = tmp_path / "grouped.gguf"
    aprhub.convert(deep.deep("grouped"), source)
    matrix = importances.write_gguf(tmp_path / "m.gguf", importances.entries(source))

    quantised(source, tmp_path / "q.apr", matrix, verify="values")
    quantised(source, tmp_path / "q.gguf", matrix)
    aprhub.convert(tmp_path / "q.apr", tmp_path / "again.gguf")

    assert digest(tmp_path / "again.gguf") == digest(tmp_path / "q.gguf")


def test_tensors_without_an_entry_are_named_or_refused_where_it_matters(
    model: Path, entries: Entries, tmp_path: Path
) -> None:
    rest = {name: each for name, each in entries.items() if "blk.2.ffn" not in name}
    matrix = importances.write_gguf(tmp_path / "m.gguf", rest)

    report = quantised(model, tmp_path / "q.gguf", matrix)

    (note,) = (each for each in report.notes if each.startswith("importance: "))
    for name in ("gate", "up", "down"):
        assert f"blk.2.ffn_{name}.weight" in note
    assert "blk.1.ffn_up.weight" not in note
    with pytest.raises(UnrepresentableError, match=r"blk.2.ffn_down.* has no entry"):
        quantised(model, tmp_path / "no.gguf", matrix, quantize="iq2_xxs")


def test_tensors_in_an_encoding_that_takes_no_matrix_are_named(
    model: Path, matrix: Path, tmp_path: Path
) -> None:
    report = quantised(
        model,
        tmp_path / "q.apr",
        matrix,
        quantize="q4_k_m",
        tensor_types=("*_proj.weight=apr_q4", "*embed*=apr_q8", "lm_head*=apr_q8"),
    )

    (note,) = (each for each in report.notes if "take none" in each)
    assert "model.layers.1.mlp.up_proj.weight" in note


def test_a_matrix_that_knows_other_tensors_is_of_another_model(
    model: Path, entries: Entries, tmp_path: Path
) -> None:
    more = {**entries, "blk.99.attn_q.weight": entries["blk.0.attn_q.weight"]}
    matrix = importances.write_gguf(tmp_path / "m.gguf", more)

    with pytest.raises(ModelCheckError, match=r"blk.99.attn_q.weight: the model"):
        quantised(model, tmp_path / "q.gguf", matrix)

    report = quantised(model, tmp_path / "q.gguf", matrix, lossy=True)
    left_out = "importance: blk.99.attn_q.weight: not in the model, left out"
    assert left_out in report.notes


@pytest.mark.parametrize("lossy", [False, True])
def test_a_matrix_without_a_known_name_is_refused(
    *, lossy: bool, model: Path, entries: Entries, tmp_path: Path
) -> None:
    renamed = {f"model.{name}": each for name, each in entries.items()}
    matrix = importances.write_gguf(tmp_path / "m.gguf", renamed)

    with pytest.raises(ModelCheckError, match="is of another model"):
        quantised(model, tmp_path / "q.gguf", matrix, lossy=lossy)


def test_other_sizes_are_told_with_those_of_the_model(
    entries: Entries, tmp_path: Path
) -> None:
    matrix = importances.write_gguf(tmp_path / "m.gguf", entries)

    with pytest.raises(
        ModelCheckError,
        match=r"blk.0.attn_k.weight: 288 columns, but layers.0.attn.k.weight is "
        r"\[64, 256\]",
    ):
        quantised(deep.deep("grouped"), tmp_path / "q.gguf", matrix)


def test_names_that_are_kept_match_as_they_are(
    model: Path, matrix: Path, tmp_path: Path
) -> None:
    kept = {"quantize": "q5_1", "pure": True}
    quantised(model, tmp_path / "a.gguf", matrix, **kept, naming="keep")
    quantised(model, tmp_path / "b.gguf", matrix, **kept)

    assert digest(tmp_path / "a.gguf") == digest(tmp_path / "b.gguf")


def test_a_matrix_belongs_to_a_mixture(matrix: Path, tmp_path: Path) -> None:
    words = ("convert", deep.deep("odd"), tmp_path / "q.gguf", "--imatrix", matrix)

    assert "belong to a mixture" in refused(2, *words)


@pytest.mark.parametrize("content", [None, b"", b"\0" * 40, b"no matrix, but a text"])
def test_what_is_no_matrix_is_refused(
    content: bytes | None, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(AprhubError, match="other: "):
        quantised(model, tmp_path / "q.gguf", path)

    assert not (tmp_path / "q.gguf").exists()


def test_a_model_is_no_matrix_and_a_matrix_no_model(
    model: Path, matrix: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        UnsupportedFileError, match=r"general\.type is 'model', expected 'imatrix'"
    ):
        quantised(model, tmp_path / "q.gguf", model)
    with pytest.raises(UnsupportedFileError, match="importance matrix, not a model"):
        aprhub.open_model(matrix)


def measured(values: list[float], count: int) -> Measured:
    sums = aprhub.Tensor.of(np.array(values, np.float32))
    return Measured(sums, (count,))


def test_a_matrix_is_written_as_llama_cpp_does(tmp_path: Path) -> None:
    registry = Registry.load()
    made = {
        "layers.1.attn.q.weight": measured([4, 5, 6], 9),
        "layers.0.ffn.down.weight": measured([1, 2], 0),
    }
    path = tmp_path / "m.gguf"
    given = Importance(path, made, (DATASET,), CHUNKS, CHUNK_SIZE)

    save_importance(given, registry.family("llama"), registry)

    importances.write_gguf(
        tmp_path / "theirs.gguf",
        {
            "blk.1.attn_q.weight": Entry(np.array([4, 5, 6], np.float32), 9),
            "blk.0.ffn_down.weight": Entry(np.array([1, 2], np.float32), 0),
        },
    )
    assert path.read_bytes() == (tmp_path / "theirs.gguf").read_bytes()
    with pytest.raises(TargetExistsError):
        save_importance(given, registry.family("llama"), registry)
    renamed = evolve(given, path=tmp_path / "m.npz")
    with pytest.raises(AprhubError, match=r"written as \.gguf"):
        save_importance(renamed, registry.family("llama"), registry)
